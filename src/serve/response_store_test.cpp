#include "serve/response_store.h"

#include <gtest/gtest.h>

#include <string>

namespace aviary {
namespace {

StoredResponse response(ResponseStore& store, const std::string& id, size_t bytes = 10) {
  return {.id = id, .json = "{}", .output = {store.item("msg_" + id + "_0", std::string(bytes, 'x'))}};
}

TEST(ResponseStore, KeepsResponsesOfEachKeyApart) {
  ResponseStore store({});
  store.put("a", response(store, "resp_1"));
  ASSERT_NE(store.find("a", "resp_1"), nullptr);
  EXPECT_EQ(store.find("a", "resp_1")->output[0]->id, "msg_resp_1_0");
  EXPECT_EQ(store.find("b", "resp_1"), nullptr);
  EXPECT_FALSE(store.erase("b", "resp_1"));
  EXPECT_TRUE(store.erase("a", "resp_1"));
  EXPECT_EQ(store.find("a", "resp_1"), nullptr);
  EXPECT_EQ(store.bytes(), 0);
}

TEST(ResponseStore, ForgetsTheLeastRecentlyUsed) {
  ResponseStore store({.count = 2});
  store.put("", response(store, "resp_1"));
  store.put("", response(store, "resp_2"));
  EXPECT_NE(store.find("", "resp_1"), nullptr);
  store.put("", response(store, "resp_3"));
  EXPECT_EQ(store.count(), 2u);
  EXPECT_NE(store.find("", "resp_1"), nullptr);
  EXPECT_EQ(store.find("", "resp_2"), nullptr);
}

TEST(ResponseStore, HoldsItsLimitOfBytes) {
  ResponseStore store({.bytes = 100000});
  for (int i = 0; i < 100; ++i) {
    store.put("", response(store, "resp_" + std::to_string(i), 9000));
    EXPECT_LE(store.bytes(), 100000);
  }
  EXPECT_GE(store.count(), 9u);
  EXPECT_NE(store.find("", "resp_99"), nullptr);
  store.put("", response(store, "large", 200000));
  EXPECT_EQ(store.find("", "large"), nullptr);
  EXPECT_LE(store.bytes(), 100000);
}

TEST(ResponseStore, CountsWhatResponsesShareOnce) {
  ResponseStore store({});
  store.put("", response(store, "resp_0", 50000));
  StoredItems past = store.find("", "resp_0")->output;
  for (int i = 1; i < 10; ++i) {
    StoredResponse next = response(store, "resp_" + std::to_string(i));
    next.input = past;
    store.put("", std::move(next));
  }
  EXPECT_LT(store.bytes(), 60000);
  store.erase("", "resp_0");
  EXPECT_GT(store.bytes(), 50000) << "the past is still held by the others";
  past.clear();
  for (int i = 1; i < 10; ++i) store.erase("", "resp_" + std::to_string(i));
  EXPECT_EQ(store.bytes(), 0);
}

TEST(ResponseStore, OnlyWhatIsBeingWrittenIsUpdated) {
  ResponseStore store({});
  EXPECT_FALSE(store.update("", response(store, "resp_1")));
  StoredResponse running = response(store, "resp_1");
  const auto task = std::make_shared<BackgroundTask>();
  running.task = task;
  store.put("", running);
  EXPECT_TRUE(store.update("", running));
  running.task = nullptr;
  EXPECT_TRUE(store.update("", running));
  EXPECT_FALSE(store.update("", running));
  EXPECT_FALSE(task->stopped);
}

TEST(ResponseStore, WhatIsForgottenWhileItIsWrittenIsStopped) {
  ResponseStore store({.count = 1});
  for (const bool erased : {true, false}) {
    StoredResponse running = response(store, "resp_1");
    const auto task = running.task = std::make_shared<BackgroundTask>();
    store.put("", running);
    if (erased)
      store.erase("", "resp_1");
    else
      store.put("", response(store, "resp_2"));
    EXPECT_TRUE(task->stopped);
  }
}

}  // namespace
}  // namespace aviary
