// A persistent pool that runs `task(0 … count - 1)` and returns when all are done. Which thread
// takes which index is fixed (index modulo threads) and no result may depend on it: the engine
// gives every index memory of its own and reduces in index order afterwards.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace espalier {

class ThreadPool {
 public:
  // `threads` counts the caller: 1 means no thread is started. At most kMaxThreads are used.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs task(index, thread) for every index in [0, count); `thread` is in [0, threads()).
  // The task must not throw.
  template <class Task>
  void run(int count, const Task& task) {
    run_erased(
        count, [](const void* t, int index, int thread) { (*static_cast<const Task*>(t))(index, thread); },
        &task);
  }

  static constexpr int kMaxThreads = 16;

 private:
  using Invoke = void (*)(const void* task, int index, int thread);
  void run_erased(int count, Invoke invoke, const void* task);
  void work(int thread);

  int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  unsigned generation_ = 0;
  int running_ = 0;
  bool stopping_ = false;
  int count_ = 0;
  Invoke invoke_ = nullptr;
  const void* task_ = nullptr;
};

}  // namespace espalier
