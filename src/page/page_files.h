// The files of the page, as page/build.mjs has made them for this program.
#pragma once

#include <span>
#include <string_view>

namespace aviary {

struct PageFile {
  std::string_view path;  // "/", or "/page/" and a name that contains a hash of the content
  std::string_view type;  // Content-Type
  std::string_view hash;  // of the content, hexadecimal
  std::string_view gzip;  // the content
};

// None if the program was built without the page.
std::span<const PageFile> page_files();
// Why it was built without the page, a sentence; empty if it was not.
std::string_view page_missing();

}  // namespace aviary
