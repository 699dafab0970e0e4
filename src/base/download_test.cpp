#include "base/download.h"

#include <gtest/gtest.h>

#include <string>

namespace aviary {
namespace {

TEST(Download, ThatWentWrongIsKnownByItsContent) {
  EXPECT_TRUE(failed_download("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n")
                  .starts_with("a Git LFS pointer"));
  EXPECT_TRUE(failed_download("\x1f\x8b\x08").starts_with("compressed with gzip"));
  EXPECT_TRUE(failed_download("<!DOCTYPE html>").starts_with("a web page"));
  EXPECT_TRUE(failed_download(std::string(100, '\0')).starts_with("nothing but zeros"));
}

TEST(Download, ThatWentWellIsNotSuspected) {
  for (const std::string& bytes :
       {std::string(), std::string("1 '\\x00' 1\n"), std::string("{\"model\": {}}"),
        std::string("\0\0\0a", 4), std::string("version 2")})
    EXPECT_EQ(failed_download(bytes), "") << bytes;
}

}  // namespace
}  // namespace aviary
