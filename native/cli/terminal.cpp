#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace espalier::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

extern "C" void note_interrupt(int) { interrupted = 1; }

}  // namespace

bool is_terminal(int descriptor) {
  const char* type = std::getenv("TERM");
  return isatty(descriptor) == 1 && type && std::string_view(type) != "dumb";
}

int StatusLine::width() const {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col - 1 : 79;
}

void StatusLine::show(const std::string& text) {
  if (!enabled_) return;
  std::cout.flush();
  std::cerr << '\r' << text.substr(0, static_cast<std::size_t>(width())) << "\x1b[K" << std::flush;
  shown_ = true;
}

void StatusLine::clear() {
  if (shown_) std::cerr << "\r\x1b[K" << std::flush;
  shown_ = false;
}

std::string bar(double share, int width) {
  const int filled = std::clamp(static_cast<int>(share * width + 0.5), 0, width);
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(width - filled), '.');
}

Interrupt::Interrupt() {
  struct sigaction action{};
  action.sa_handler = note_interrupt;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Interrupt::~Interrupt() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool Interrupt::requested() { return interrupted != 0; }

}  // namespace espalier::cli
