// espalier: train, evaluate, look at and compress small convolutional networks.
#include <iostream>
#include <new>

#include "cli/command.h"
#include "core/error.h"

namespace espalier::cli {
namespace {

int complain(const std::string& message, int status) {
  std::cout.flush();
  std::cerr << "espalier: " << message << '\n';
  return status;
}

// CLI11's complaint as a sentence of ours: the command it is about, what is wrong, where to read more.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const auto parsed = app.get_subcommands();
  const std::string command = parsed.empty() ? "" : parsed.front()->get_name();
  std::string message = error.what();
  if (error.get_name() == "ArgumentMismatch")
    message = message.substr(0, message.find(':')) + ": needs a value";
  if (const auto left = app.remaining(true); !left.empty()) {
    message = '"' + left.front() + '"';
    if (left.front().starts_with('-')) {
      message += " is not an option";
    } else if (!command.empty()) {
      message += " is one argument too many";
    } else {
      message += " is not a command; the commands are ";
      for (const CLI::App* known : app.get_subcommands({})) {
        message += (message.ends_with(' ') ? "" : ", ") + known->get_name();
      }
      return message;
    }
  }
  return (command.empty() ? "" : command + ": ") + message + "; see espalier " +
         (command.empty() ? "" : command + " ") + "--help";
}

int run(int argc, char** argv) {
  CLI::App app{"Trains small convolutional networks on the CPU and makes them smaller.", "espalier"};
  app.set_version_flag("--version", "espalier " ESPALIER_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.footer(
      "Examples:\n"
      "  espalier train --data synthetic --model small --out small.safetensors\n"
      "  espalier eval small.safetensors --data synthetic\n"
      "  espalier predict small.safetensors digit.png\n"
      "  espalier prune small.safetensors --data synthetic --sparsity 0.8 --finetune 3 --out "
      "sparse.safetensors\n\n"
      "--data takes a folder, or the name of a folder below $ESPALIER_DATA.\n"
      "Exit status: 0 done, 1 failed, 2 the call is wrong. See espalier COMMAND --help.");
  std::vector<Command> commands{add_train(app), add_eval(app), add_predict(app), add_inspect(app)};
  for (Command& pass : add_passes(app)) commands.push_back(std::move(pass));
  commands.push_back(add_compress(app));
  commands.push_back(add_sweep(app));
  commands.push_back(add_export(app));
  commands.push_back(add_import(app));
  commands.push_back(add_generate(app));
  commands.push_back(add_schema(app));
  commands.push_back(add_bench(app));
  if (argc < 2) {
    std::cerr << app.help();
    return kWrongCall;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    return complain(usage_message(app, error), kWrongCall);
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const int status = command.run();
    if (!std::cout.flush()) throw Error(ErrorCode::kIo, "standard output", "could not be written");
    return status;
  }
  return complain("a command is missing; see espalier --help", kWrongCall);
}

}  // namespace
}  // namespace espalier::cli

int main(int argc, char** argv) {
  using namespace espalier;
  try {
    return cli::run(argc, argv);
  } catch (const Error& error) {
    return cli::complain(error.what(), error.code() == ErrorCode::kArgument ? cli::kWrongCall : cli::kFailed);
  } catch (const std::bad_alloc&) {
    return cli::complain("there is not enough memory", cli::kFailed);
  } catch (const std::exception& error) {
    return cli::complain(error.what(), cli::kFailed);
  }
}
