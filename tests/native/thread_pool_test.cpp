// Every index once, runs one after the other, background work in between, sleepers woken.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace espalier {
namespace {

TEST(ThreadPool, does_every_index_once_for_any_count_and_any_number_of_threads) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int count : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      std::atomic<bool> inside{true};
      pool.run(count, [&](int index, int thread) {
        ++done[static_cast<std::size_t>(index)];
        if (thread < 0 || thread >= threads) inside = false;
      });
      EXPECT_TRUE(std::all_of(done.begin(), done.end(), [](const auto& n) { return n == 1; })) << count;
      EXPECT_TRUE(inside);
    }
  }
}

TEST(ThreadPool, a_run_sees_all_that_the_one_before_has_written) {
  ThreadPool pool(4);
  std::array<int, 5> numbers{};
  constexpr int kRuns = 20000;
  for (int run = 0; run < kRuns; ++run) {
    pool.run(5, [&](int index, int) {
      const auto i = static_cast<std::size_t>(index);
      numbers[i] = std::max(numbers[i], run) + 1;  // an index that is left out or done twice shows
    });
  }
  EXPECT_EQ(numbers, (std::array{kRuns, kRuns, kRuns, kRuns, kRuns}));
}

TEST(ThreadPool, threads_that_have_gone_to_sleep_are_woken) {
  ThreadPool pool(3);
  std::atomic<int> done{0};
  for (int run = 0; run < 20; ++run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.run(3, [&](int, int) {
      ++done;
      // Nobody can do it all alone.
      const auto all = 3 * (run + 1);
      while (done < all) std::this_thread::yield();
    });
  }
  EXPECT_EQ(done, 60);
}

TEST(ThreadPool, work_in_the_background_is_done_by_finish_whatever_ran_in_between) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 500; ++round) {
      std::array<std::atomic<int>, 8> background{};
      std::atomic<int> foreground{0};
      const auto task = [&](int index, int) { ++background[static_cast<std::size_t>(index)]; };
      pool.begin(8, task);
      for (int run = 0; run < round % 4; ++run) pool.run(5, [&](int, int) { ++foreground; });
      pool.finish();
      EXPECT_TRUE(std::all_of(background.begin(), background.end(), [](const auto& n) { return n == 1; }));
      EXPECT_EQ(foreground, 5 * (round % 4));
    }
  }
}

TEST(ThreadPool, what_begins_in_the_background_finishes_what_was_begun_before) {
  ThreadPool pool(2);
  int first = 0, second = 0;
  std::atomic<bool> in_order{true};
  const auto one = [&](int, int) { ++first; };
  const auto two = [&](int, int) {
    if (first != 1) in_order = false;
    ++second;
  };
  pool.begin(1, one);
  pool.begin(1, two);
  pool.finish();
  pool.finish();
  EXPECT_TRUE(in_order);
  EXPECT_EQ(first + second, 2);
}

TEST(ThreadPool, pieces_cover_a_range_and_have_the_same_borders_for_any_number_of_threads) {
  for (const std::int64_t size :
       {std::int64_t{0}, std::int64_t{1}, ThreadPool::kPiece, 3 * ThreadPool::kPiece + 5}) {
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      std::atomic<std::int64_t> covered{0};
      pool.run_pieces(size, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(begin % ThreadPool::kPiece, 0);
        EXPECT_EQ(end, std::min(begin + ThreadPool::kPiece, size));
        covered += end - begin;
      });
      EXPECT_EQ(covered, size);
    }
  }
}

}  // namespace
}  // namespace espalier
