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
//
// A work runs nothing before its first advance(), so its parameters must live as long as it does: take them
// by value, or by reference to what outlives the work.
#pragma once

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <string_view>
#include <utility>

namespace espalier {

// Where the work is. `loss` and `accuracy` are those of the last training step, where the stage trains;
// negative: there is none.
struct Progress {
  std::string_view stage;  // "fine-tune": a text that lives as long as the program
  std::int64_t done = 0;   // of `total` units of the stage
  std::int64_t total = 0;
  double loss = -1;
  double accuracy = -1;
};

class [[nodiscard]] Work {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  struct promise_type {
    std::exception_ptr error;
    Handle waiting;                  // who co_awaits this work
    promise_type* outermost = this;  // whose advance() runs this work

    // Of the outermost work:
    Progress progress;
    Handle innermost;      // what runs
    bool yielded = false;  // since advance() began

    Work get_return_object() { return Work(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }

    // Back to advance(), which goes on with the work that waits for this one.
    struct Finish {
      bool await_ready() noexcept { return false; }
      void await_suspend(Handle done) noexcept {
        promise_type& promise = done.promise();
        if (promise.waiting) promise.outermost->innermost = promise.waiting;
      }
      void await_resume() noexcept {}
    };
    Finish final_suspend() noexcept { return {}; }

    std::suspend_always yield_value(const Progress& now) {
      outermost->progress = now;
      outermost->yielded = true;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { error = std::current_exception(); }
  };

  explicit Work(Handle handle) : handle_(handle) { handle_.promise().innermost = handle_; }
  Work(Work&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Work& operator=(Work&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  // Of a work that is not done: destroys what it holds, from the innermost work outwards.
  ~Work() {
    if (handle_) handle_.destroy();
  }

  // To the next co_yield. False when the work is done, also after it has thrown. Throws what the work threw.
  bool advance() {
    promise_type& promise = handle_.promise();
    promise.yielded = false;
    // A loop, not a jump from work to work: without tail calls (WebAssembly, debug builds) the stack would
    // grow with every work that ends.
    while (!promise.yielded && !handle_.done()) promise.innermost.resume();
    if (promise.error) std::rethrow_exception(std::exchange(promise.error, {}));
    return !handle_.done();
  }
  const Progress& progress() const { return handle_.promise().progress; }

  // Work within work: the inner one's co_yields go to whoever advances the outer one.
  struct Awaiter {
    Handle inner;
    bool await_ready() const noexcept { return false; }
    void await_suspend(Handle outer) noexcept {
      promise_type& promise = inner.promise();
      assert(promise.innermost == inner && !inner.done());  // it has not begun
      promise.waiting = outer;
      promise.outermost = outer.promise().outermost;
      promise.outermost->innermost = inner;
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
