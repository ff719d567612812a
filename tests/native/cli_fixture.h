// The command line as a child process, for tests: its exit status, what it says, what it leaves behind.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace espalier {

namespace fs = std::filesystem;
using nlohmann::json;
using Arguments = std::vector<std::string>;

struct Result {
  int status = -1;
  std::string out;
  std::string err;
};

inline std::string shown(const Arguments& arguments) {
  std::string text = "espalier";
  for (const std::string& argument : arguments) text += " " + argument;
  return text;
}

// In the child: the command line's program takes its place.
[[noreturn]] inline void become_espalier(const Arguments& arguments) {
  std::vector<char*> argv{const_cast<char*>("espalier")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(ESPALIER_CLI, argv.data());
  _exit(127);
}

inline std::string drain(int descriptor) {
  std::string text;
  char part[4096];
  for (ssize_t size = 0; (size = read(descriptor, part, sizeof part)) > 0;) {
    text.append(part, static_cast<std::size_t>(size));
  }
  close(descriptor);
  return text;
}

inline int exit_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct Cli : testing::Test {
  fs::path folder;

  Cli() {
    folder = fs::temp_directory_path() / ("espalier-cli-" + std::to_string(getpid()));
    fs::create_directories(folder);
  }
  ~Cli() override { fs::remove_all(folder); }

  std::string path(const std::string& name) const { return (folder / name).string(); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name, std::ios::binary) << text;
  }

  std::string bytes(const std::string& name) const {
    std::ifstream file(folder / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  struct Child {
    pid_t pid;
    int out;
  };

  // Starts it in `folder`, standard error going to a file.
  Child start(const Arguments& arguments, const std::string& error_file = "stderr") const {
    int out[2];
    EXPECT_EQ(pipe(out), 0);
    const pid_t child = fork();
    if (child == 0) {
      const int err = open(path(error_file).c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      dup2(out[1], 1);
      dup2(err, 2);
      close(out[0]);
      close(out[1]);
      if (chdir(folder.c_str()) != 0) _exit(126);
      become_espalier(arguments);
    }
    close(out[1]);
    return {child, out[0]};
  }

  Result run(const Arguments& arguments) const {
    const Child child = start(arguments);
    Result result;
    result.out = drain(child.out);
    result.status = exit_status(child.pid);
    result.err = bytes("stderr");
    return result;
  }

  // One sentence on standard error and nothing on standard output.
  void expect_error(int status, const Arguments& arguments, const std::string& message) const {
    SCOPED_TRACE(shown(arguments));
    const Result result = run(arguments);
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_NE(result.err.find(message), std::string::npos) << "it says: " << result.err;
    EXPECT_TRUE(result.err.starts_with("espalier: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  json run_json(Arguments arguments) const {
    SCOPED_TRACE(shown(arguments));
    arguments.push_back("--json");
    const Result result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    const json object = json::parse(result.out, nullptr, false);
    EXPECT_TRUE(object.is_object()) << result.out;
    return object;
  }

  std::string sha_of(const Arguments& arguments) const {
    const json object = run_json(arguments);
    return object.is_object() ? object.value("weights_sha256", "") : "";
  }

  // IDX files of built-in digits in folder/data, for damaging.
  void generate(int count = 60, int test = 12) const {
    const Result made =
        run({"generate", "--count", std::to_string(count), "--test", std::to_string(test), "--out", "data"});
    ASSERT_EQ(made.status, 0) << made.err;
  }
};

inline Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// Reads a line from a pipe.
inline std::string read_line(int descriptor) {
  std::string line;
  for (char c = 0; read(descriptor, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace espalier
