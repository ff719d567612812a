// A persistent pool that runs `task(0 … count - 1)` and returns when all are done. Indices are handed out
// in order to whichever thread is free, and no result may depend on which one took it: the engine gives
// every index memory of its own and reduces in index order afterwards. It belongs to one caller.
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
    run_erased(count, erased<Task>, &task);
  }

  // Runs task(begin, end) for the pieces of [0, size), whose borders do not depend on the number of threads.
  template <class Task>
  void run_pieces(std::int64_t size, const Task& task) {
    const auto count = static_cast<int>((size + kPiece - 1) / kPiece);
    run(count, [&](int piece, int) {
      const std::int64_t begin = piece * kPiece;
      task(begin, begin + kPiece < size ? begin + kPiece : size);
    });
  }
  static constexpr std::int64_t kPiece = 16384;

  // Work in the background: threads that a run leaves idle do task(index, thread), and finish() does what is
  // left of it. `task` must live until then. One at a time: begin() finishes what was begun before.
  template <class Task>
  void begin(int count, const Task& task) {
    finish();
    background_.open(count, erased<Task>, &task);
  }
  void finish();

  static constexpr int kMaxThreads = 16;

 private:
  using Invoke = void (*)(const void* task, int index, int thread);
  template <class Task>
  static void erased(const void* task, int index, int thread) {
    (*static_cast<const Task*>(task))(index, thread);
  }

  // Indices to be handed out.
  struct Queue {
    // The queue's number, and how many of its indices nobody has taken yet. Whoever lowers that holds an
    // index, and until all are done the other members stay as they are.
    std::atomic<std::uint64_t> ticket{0};
    std::atomic<int> unfinished{0};
    int count = 0;
    Invoke invoke = nullptr;
    const void* task = nullptr;

    static constexpr std::uint64_t kLeft = 0xffffffff;
    bool has_work() const { return (ticket.load() & kLeft) != 0; }
    bool done() const { return unfinished.load() == 0; }
    void open(int indices, Invoke with, const void* on);
  };

  void run_erased(int count, Invoke invoke, const void* task);
  void work(int thread);
  bool take(Queue& queue, int thread);
  void complete(Queue& queue);

  // Sleeps until somebody wakes it and `ready` holds; a short while it only looks.
  template <class Ready>
  void wait(std::atomic<int>& sleepers, std::condition_variable& signal, const Ready& ready);
  void wake(const std::atomic<int>& sleepers, std::condition_variable& signal);

  Queue run_;
  Queue background_;
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
