# Everything comes from Debian 12 packages; scripts/packages lists them.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)

find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(aviary_dnnl INTERFACE)
target_include_directories(aviary_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(aviary_dnnl INTERFACE ${DNNL_LIBRARY})

find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
add_library(aviary_xxhash INTERFACE)
target_include_directories(aviary_xxhash SYSTEM INTERFACE ${XXHASH_INCLUDE_DIR})

if(AVIARY_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
