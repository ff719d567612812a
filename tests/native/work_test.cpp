// Long work as coroutines: order, exceptions, and stopping halfway.
#include "core/work.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace espalier {
namespace {

using Log = std::vector<std::string>;

// Writes its name when it is made and when it is destroyed.
struct Witness {
  Witness(Log& to, std::string called) : log(to), name(std::move(called)) { log.push_back("+" + name); }
  ~Witness() { log.push_back("-" + name); }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  Log& log;
  std::string name;
};

Work count_to(int n, std::string_view stage) {
  for (int i = 1; i <= n; ++i) co_yield Progress{.stage = stage, .done = i, .total = n};
}

Work inner(Log& log, int steps) {
  const Witness witness(log, "inner");
  co_await count_to(steps, "inner");
}

Work outer(Log& log, int steps) {
  const Witness witness(log, "outer");
  co_yield Progress{.stage = "begin"};
  co_await inner(log, steps);
  co_yield Progress{.stage = "between"};
  co_await inner(log, steps);
}

std::string shown(const Progress& progress) {
  return std::string(progress.stage) + " " + std::to_string(progress.done) + "/" +
         std::to_string(progress.total);
}

Log stages_of(Work work) {
  Log log;
  while (work.advance()) log.push_back(shown(work.progress()));
  return log;
}

TEST(Work, ProgressOfInnerWorkComesInOrder) {
  Log log;
  const Log expected{"begin 0/0", "inner 1/2", "inner 2/2", "between 0/0", "inner 1/2", "inner 2/2"};
  EXPECT_EQ(stages_of(outer(log, 2)), expected);
  EXPECT_EQ(log, (Log{"+outer", "+inner", "-inner", "+inner", "-inner", "-outer"}));
}

TEST(Work, NothingRunsBeforeTheFirstAdvance) {
  Log log;
  {
    const Work work = outer(log, 2);
  }
  EXPECT_TRUE(log.empty());
}

TEST(Work, StoppedAnywhereItFreesEverythingFromTheInside) {
  Log whole;
  finish(outer(whole, 3));
  for (int advances = 0; advances < 12; ++advances) {
    Log log;
    {
      Work work = outer(log, 3);
      for (int i = 0; i < advances; ++i) work.advance();
    }
    Log open;  // whatever was made last is destroyed first
    for (const std::string& line : log) {
      if (line[0] == '+') {
        open.push_back(line.substr(1));
      } else {
        ASSERT_FALSE(open.empty());
        EXPECT_EQ(open.back(), line.substr(1));
        open.pop_back();
      }
    }
    EXPECT_TRUE(open.empty()) << advances;
    EXPECT_EQ(log == whole, advances >= 6) << advances;  // the sixth begins the second inner work
  }
}

TEST(Work, AdvancingWhatIsDoneDoesNothing) {
  Work work = count_to(1, "once");
  EXPECT_TRUE(work.advance());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(work.advance());
  EXPECT_EQ(shown(work.progress()), "once 1/1");
}

Work failing(Log& log, int steps) {
  const Witness witness(log, "failing");
  co_await count_to(steps, "failing");
  throw std::runtime_error("halfway");
}

Work passing_on(Log& log, int steps) {
  const Witness witness(log, "passing on");
  co_await failing(log, steps);
  log.push_back("never");
}

TEST(Work, AnExceptionOfInnerWorkLeavesThroughAllOuterOnes) {
  for (const int steps : {0, 1, 5}) {
    Log log;
    Work work = passing_on(log, steps);
    for (int i = 0; i < steps; ++i) EXPECT_TRUE(work.advance());
    try {
      work.advance();
      FAIL() << "did not throw";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "halfway");
    }
    EXPECT_EQ(log, (Log{"+passing on", "+failing", "-failing", "-passing on"}));
    EXPECT_FALSE(work.advance());  // what has thrown is done
  }
}

Work catching(Log& log) {
  std::string message;
  try {
    co_await passing_on(log, 1);
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  log.push_back("caught " + message);
  co_await count_to(2, "after");
}

TEST(Work, AnExceptionThatIsCaughtEndsOnlyTheInnerWork) {
  Log log;
  EXPECT_EQ(stages_of(catching(log)), (Log{"failing 1/1", "after 1/2", "after 2/2"}));
  EXPECT_EQ(log.back(), "caught halfway");
}

TEST(Work, AnExceptionBeforeTheFirstYieldArrivesToo) {
  Log log;
  EXPECT_THROW(finish(failing(log, 0)), std::runtime_error);
}

Work nothing() { co_return; }

Work many(int count) {
  for (int i = 0; i < count; ++i) co_await nothing();
  co_yield Progress{.stage = "many", .done = count};
}

TEST(Work, TheStackDoesNotGrowWithWorkThatEndsAtOnce) {
  Work work = many(1'000'000);
  EXPECT_TRUE(work.advance());
  EXPECT_EQ(work.progress().done, 1'000'000);
  EXPECT_FALSE(work.advance());
}

Work nested(int depth) {
  if (depth == 0) {
    co_yield Progress{.stage = "bottom"};
    throw std::runtime_error("from the bottom");
  }
  co_await nested(depth - 1);
}

TEST(Work, NestingIsDeepAndItsExceptionsCrossItAll) {
  Work work = nested(5000);
  EXPECT_TRUE(work.advance());
  EXPECT_EQ(work.progress().stage, "bottom");
  EXPECT_THROW(work.advance(), std::runtime_error);
  {
    Work stopped = nested(5000);
    EXPECT_TRUE(stopped.advance());
  }
}

TEST(Work, AMovedWorkGoesOnWhereItWas) {
  Log log;
  Work first = outer(log, 2);
  EXPECT_TRUE(first.advance());
  EXPECT_TRUE(first.advance());
  Work second = std::move(first);
  EXPECT_EQ(shown(second.progress()), "inner 1/2");
  EXPECT_TRUE(second.advance());
  EXPECT_EQ(shown(second.progress()), "inner 2/2");
  second = count_to(1, "other");  // the one before is destroyed, at the latest with the temporary
  EXPECT_TRUE(second.advance());
  EXPECT_EQ(shown(second.progress()), "other 1/1");
  EXPECT_EQ(log.back(), "-outer");
}

Work keeps(std::shared_ptr<int> number, const std::string& text, std::vector<std::string>& seen) {
  for (int i = 0; i < 2; ++i) {
    seen.push_back(text + std::to_string(*number));
    co_yield Progress{};
  }
}

Work with_temporaries(std::shared_ptr<int> number, std::vector<std::string>& seen) {
  co_await keeps(number, std::string(40, 'x'), seen);  // too long to be stored inside the string
}

TEST(Work, ParametersAndTemporariesLiveAsLongAsTheWorkThatIsAwaited) {
  const auto number = std::make_shared<int>(7);
  std::vector<std::string> seen;
  finish(with_temporaries(number, seen));
  EXPECT_EQ(seen, (Log{std::string(40, 'x') + "7", std::string(40, 'x') + "7"}));
  EXPECT_EQ(number.use_count(), 1);
  {
    Work stopped = with_temporaries(number, seen);
    EXPECT_TRUE(stopped.advance());
    EXPECT_EQ(number.use_count(), 3);
  }
  EXPECT_EQ(number.use_count(), 1);
}

}  // namespace
}  // namespace espalier
