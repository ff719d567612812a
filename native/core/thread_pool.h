// A persistent pool that runs `task(0 … count - 1)` and returns when all are done. Indices are handed out
// in order to whichever thread is free, and no result may depend on which one took it: the engine gives
// every index memory of its own and reduces in index order afterwards.
//
// A step of training runs a dozen tasks of less than a millisecond, so nothing in it takes a lock: a thread
// that has nothing to do looks for work for a moment and only then goes to sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
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
  bool take(int thread);
  bool has_work() const { return (ticket_.load() & kLeft) != 0; }

  // Sleeps until somebody wakes it and `ready` holds; a short while it only looks.
  template <class Ready>
  void wait(std::atomic<int>& sleepers, std::condition_variable& signal, const Ready& ready);
  void wake(const std::atomic<int>& sleepers, std::condition_variable& signal);

  // The run's number, and how many of its indices nobody has taken yet. Whoever lowers the count holds an
  // index, and until that one is done count_, invoke_ and task_ stay as they are.
  static constexpr std::uint64_t kLeft = 0xffffffff;
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<int> unfinished_{0};
  int count_ = 0;
  Invoke invoke_ = nullptr;
  const void* task_ = nullptr;

  int threads_;
  std::vector<std::thread> workers_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // for those who go to sleep, and those who wake them
  std::condition_variable start_;
  std::condition_variable done_;
  std::atomic<int> idle_{0};     // workers asleep
  std::atomic<int> waiting_{0};  // the caller is asleep
};

}  // namespace espalier
