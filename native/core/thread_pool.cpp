#include "core/thread_pool.h"

#include <algorithm>
#include <chrono>

namespace espalier {
namespace {

// How long to look for work before going to sleep: longer than what one thread does alone within a step, such
// as the statistics of a batch norm. In a browser waking costs more than that work (mobile on two
// threads 1.6x, not 1.8x).
constexpr std::chrono::microseconds kLookFor{500};

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

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
  stopping_ = true;
  wake(idle_, start_);
  for (std::thread& worker : workers_) worker.join();
}

template <class Ready>
void ThreadPool::wait(std::atomic<int>& sleepers, std::condition_variable& signal, const Ready& ready) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + kLookFor;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return;
      relax();
    }
  } while (Clock::now() < end);
  std::unique_lock lock(mutex_);
  ++sleepers;
  signal.wait(lock, ready);
  --sleepers;
}

// Whoever made `ready` true calls this afterwards: either it sees the sleeper, or the sleeper sees that it is
// ready. The lock is for a sleeper between its last look and its sleep.
void ThreadPool::wake(const std::atomic<int>& sleepers, std::condition_variable& signal) {
  if (sleepers.load() == 0) return;
  {
    const std::lock_guard lock(mutex_);
  }
  signal.notify_all();
}

void ThreadPool::Queue::open(int indices, Invoke with, const void* on) {
  count = indices;
  invoke = with;
  task = on;
  unfinished = indices;
  ticket = ((ticket.load() >> 32) + 1) << 32 | static_cast<std::uint64_t>(indices);
}

void ThreadPool::run_erased(int count, Invoke invoke, const void* task) {
  if (workers_.empty() || count <= 1) {
    for (int index = 0; index < count; ++index) invoke(task, index, 0);
    return;
  }
  run_.open(count, invoke, task);
  complete(run_);
}

void ThreadPool::finish() {
  if (!background_.done()) complete(background_);
}

// Does what is left of a queue together with the workers.
void ThreadPool::complete(Queue& queue) {
  if (queue.has_work()) wake(idle_, start_);
  while (take(queue, 0)) {
  }
  wait(waiting_, done_, [&] { return queue.done(); });
}

// Takes the next index and does its task; false when there is none.
bool ThreadPool::take(Queue& queue, int thread) {
  std::uint64_t ticket = queue.ticket.load();
  do {
    if ((ticket & Queue::kLeft) == 0) return false;
  } while (!queue.ticket.compare_exchange_weak(ticket, ticket - 1));
  queue.invoke(queue.task, queue.count - static_cast<int>(ticket & Queue::kLeft), thread);
  if (--queue.unfinished == 0) wake(waiting_, done_);
  return true;
}

void ThreadPool::work(int thread) {
  while (!stopping_) {
    if (take(run_, thread) || take(background_, thread)) continue;
    wait(idle_, start_, [this] { return run_.has_work() || background_.has_work() || stopping_; });
  }
}

}  // namespace espalier
