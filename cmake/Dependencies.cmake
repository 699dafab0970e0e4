# Everything comes from Debian 12 packages; scripts/packages lists them.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
add_library(aviary_xxhash INTERFACE)
target_include_directories(aviary_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})

if(AVIARY_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
