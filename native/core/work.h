// Long work as a coroutine: written straight down, run in pieces. Whoever wants the result calls advance() as
// long as it likes (a page: for 25 ms at a time; the command line: until the user presses Ctrl-C) and may
// stop in between.
//
//   Work prune(…) {
//     for (…) {
//       …;
//       co_yield Progress{.stage = "score", .done = i, .total = n};   // a few milliseconds of work are done
//     }
//     co_await fine_tune(…);                                          // work within work
//   }
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <string_view>
#include <utility>

namespace espalier {

// Where the work is. `loss`, `accuracy` and `images_per_second` are those of the last training steps, where
// the stage trains; negative: there is none.
struct Progress {
  std::string_view stage;  // "fine-tune": a text that lives as long as the program
  std::int64_t done = 0;   // of `total` units of the stage
  std::int64_t total = 0;
  double loss = -1;
  double accuracy = -1;
};

class Work {
 public:
  struct promise_type {
    Progress progress;
    std::exception_ptr error;
    std::coroutine_handle<promise_type> waiting;  // who co_awaits this work
    promise_type* outermost = this;
    std::coroutine_handle<promise_type> innermost;  // of the outermost: what runs

    Work get_return_object() { return Work(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }

    struct Finish {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
        promise_type& promise = done.promise();
        if (!promise.waiting) return std::noop_coroutine();
        promise.outermost->innermost = promise.waiting;
        return promise.waiting;
      }
      void await_resume() noexcept {}
    };
    Finish final_suspend() noexcept { return {}; }

    std::suspend_always yield_value(const Progress& now) {
      outermost->progress = now;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }
  };
  using Handle = std::coroutine_handle<promise_type>;

  explicit Work(Handle handle) : handle_(handle) { handle_.promise().innermost = handle_; }
  Work(Work&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Work& operator=(Work&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Work() {
    if (handle_) handle_.destroy();
  }

  // To the next co_yield. False when the work is done. Throws what the work threw.
  bool advance() {
    promise_type& promise = handle_.promise();
    promise.innermost.resume();
    if (promise.error) std::rethrow_exception(std::exchange(promise.error, {}));
    return !handle_.done();
  }
  const Progress& progress() const { return handle_.promise().progress; }

  // Work within work: the inner one's co_yields go to whoever advances the outer one.
  struct Awaiter {
    Handle inner;
    bool await_ready() const noexcept { return false; }
    Handle await_suspend(Handle outer) {
      promise_type& promise = inner.promise();
      promise.waiting = outer;
      promise.outermost = outer.promise().outermost;
      promise.outermost->innermost = inner;
      return inner;
    }
    void await_resume() const {
      if (inner.promise().error) std::rethrow_exception(inner.promise().error);
    }
  };
  Awaiter operator co_await() && { return {handle_}; }

 private:
  Handle handle_;
};

// All of it at once.
inline void finish(Work work) {
  while (work.advance()) {
  }
}

}  // namespace espalier
