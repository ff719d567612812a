// A status line that rewrites itself on a terminal, and the wish to stop.
#pragma once

#include <string>

namespace espalier::cli {

bool is_terminal(int descriptor);  // and one that can move its cursor

// The last line of the terminal that standard error is. Without one, nothing is shown.
class StatusLine {
 public:
  explicit StatusLine(bool enabled) : enabled_(enabled) {}
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool enabled() const { return enabled_; }
  int width() const;                   // columns that show() can fill
  void show(const std::string& text);  // cut to the terminal's width
  void clear();                        // before anything else is printed

 private:
  bool enabled_;
  bool shown_ = false;
};

std::string bar(double share, int width);  // "####......"

// From its making on, the first Ctrl-C (or SIGTERM) is only noted; the second one ends the program at once.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  static bool requested();
};

}  // namespace espalier::cli
