#include "core/thread_pool.h"

#include <algorithm>

namespace espalier {

ThreadPool::ThreadPool(int threads) : threads_(std::clamp(threads, 1, kMaxThreads)) {
#if defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__)
  threads_ = 1;
#endif
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  for (int thread = 1; thread < threads_; ++thread) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(int count, Invoke invoke, const void* task) {
  if (workers_.empty() || count <= 1) {
    for (int index = 0; index < count; ++index) invoke(task, index, 0);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    count_ = count;
    invoke_ = invoke;
    task_ = task;
    running_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  for (int index = 0; index < count; index += threads_) invoke(task, index, 0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_ == 0; });
}

void ThreadPool::work(int thread) {
  unsigned seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    start_.wait(lock, [this, seen] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    const int count = count_;
    const Invoke invoke = invoke_;
    const void* task = task_;
    lock.unlock();
    for (int index = thread; index < count; index += threads_) invoke(task, index, thread);
    lock.lock();
    if (--running_ == 0) done_.notify_one();
  }
}

}  // namespace espalier
