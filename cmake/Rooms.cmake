# A room is a folder of src/: its .cpp files form one library target, its *_test.cpp files one test program.

add_library(aviary_options INTERFACE)
target_include_directories(aviary_options INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated/include)
target_compile_options(aviary_options INTERFACE -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds>)
if(AVIARY_DEVELOP)
  target_compile_options(aviary_options INTERFACE -Werror)
endif()
# With CMAKE_UNITY_BUILD several sources of a room are compiled as one: the whole takes half of the time, a single changed
# source more. g++ then takes each source for a header, and warns of types there that use an anonymous namespace.
if(CMAKE_UNITY_BUILD)
  target_compile_options(aviary_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
# Every ARM CPU has fused multiply-add, and compilers use it where they can: then g - mean(g) of one number was not 0.
# With this flag only explicit calls are fused, as on x86.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(AVIARY_ARM64 ON)
  target_compile_options(aviary_options INTERFACE -ffp-contract=off)
endif()
if(AVIARY_SANITIZE)
  target_compile_options(aviary_options INTERFACE -fsanitize=${AVIARY_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(aviary_options INTERFACE -fsanitize=${AVIARY_SANITIZE})
  # False warnings of g++ about uninitialized values in std::regex, caused by its instrumentation.
  target_compile_options(aviary_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(AVIARY_SANITIZE MATCHES undefined)
    target_compile_options(aviary_options INTERFACE -fno-sanitize-recover=undefined)
    # A wrong access is found by AddressSanitizer. clang's checks of the arithmetic of pointers would find it once more, and
    # take a quarter of the time of compiling, in kernels two thirds.
    target_compile_options(aviary_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=pointer-overflow,object-size>)
  endif()
endif()

# Reading these headers is half of the work of compiling a file, so they are compiled once for all rooms and once for all
# tests. A file still includes what it uses: the `clang` preset builds without this.
# With them, g++ 12 does not recognize its library's headers as system headers, and gives false warnings about string
# copies there.
set(AVIARY_PRECOMPILED_OPTIONS
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overread>)
set(precompiled <algorithm> <cmath> <cstdint> <cstring> <filesystem> <functional> <map> <memory> <optional> <span>
  <string> <string_view> <vector> <fmt/format.h>)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/empty.cpp CONTENT "")
add_library(aviary_headers OBJECT ${PROJECT_BINARY_DIR}/generated/empty.cpp)
target_link_libraries(aviary_headers PRIVATE aviary_options fmt::fmt)
target_precompile_headers(aviary_headers PRIVATE ${precompiled})

# aviary_test_program(NAME LIBRARIES...): makes an executable a test program. Tests are not measured, so they are
# optimized lightly.
function(aviary_test_program name)
  target_link_libraries(${name} PRIVATE test_support ${ARGN})
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1> ${AVIARY_PRECOMPILED_OPTIONS})
  if(name STREQUAL test_headers)
    target_precompile_headers(${name} PRIVATE ${precompiled} <fstream> <gtest/gtest.h>)
  else()
    target_precompile_headers(${name} REUSE_FROM test_headers)
  endif()
endfunction()

# Shared by all test programs: main(), and the helpers in tests/support/.
if(AVIARY_TESTS)
  file(GLOB support CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.cpp)
  add_library(test_support STATIC ${support})
  set_target_properties(test_support PROPERTIES UNITY_BUILD OFF)  # programs link only those that they need
  target_link_libraries(test_support PUBLIC aviary_options fmt::fmt GTest::gtest)
  target_include_directories(test_support PUBLIC ${PROJECT_SOURCE_DIR}/tests)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/tests/support/repository.cpp
    PROPERTIES COMPILE_DEFINITIONS AVIARY_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_executable(test_headers EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/generated/empty.cpp)
  aviary_test_program(test_headers)
endif()

# Rooms whose sources are always compiled one by one. Those of api see public types and those of other rooms under the same
# names; those of kernels include themselves once per instruction set; in models and ops each source has its own `recognize`
# or `backward`. In all other rooms a local name stands in one source only, which the house tests hold.
set(compiled_apart api kernels models ops)

function(aviary_room name)
  cmake_parse_arguments(ROOM "" "" "LINKS;PRIVATE_LINKS;TEST_LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(NOT sources)
    add_library(aviary_${name} INTERFACE)
    target_link_libraries(aviary_${name} INTERFACE aviary_options ${ROOM_LINKS})
    return()
  endif()
  add_library(aviary_${name} STATIC ${sources})
  target_link_libraries(aviary_${name} PUBLIC aviary_options ${ROOM_LINKS} PRIVATE ${ROOM_PRIVATE_LINKS})
  if(name IN_LIST compiled_apart)
    set_target_properties(aviary_${name} PROPERTIES UNITY_BUILD OFF)
  endif()
  if(NOT name STREQUAL kernels)  # whose files are read once per instruction set
    target_precompile_headers(aviary_${name} REUSE_FROM aviary_headers)
    target_compile_options(aviary_${name} PRIVATE ${AVIARY_PRECOMPILED_OPTIONS})
  endif()
  if(AVIARY_TESTS AND tests)
    add_executable(${name}_test ${tests})
    aviary_test_program(${name}_test aviary_${name} ${ROOM_TEST_LINKS} ${ROOM_PRIVATE_LINKS})
    aviary_discover(${name}_test ${name})
    if(name STREQUAL api)  # whose tests see the public types and those of the rooms under the same names
      set_target_properties(${name}_test PROPERTIES UNITY_BUILD OFF)
    endif()
  endif()
endfunction()

# Registers the tests of a program with CTest under `label`; suites whose name ends in Long get the label `long`,
# which the sanitizer and clang runs leave out.
function(aviary_discover program label)
  gtest_discover_tests(${program} TEST_FILTER "-*Long.*" TEST_LIST ${program}_short
    DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${label})
  gtest_discover_tests(${program} TEST_FILTER "*Long.*" TEST_LIST ${program}_long
    DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 1200 LABELS long)
endfunction()

# Every model file src/models/<name>.cpp that defines AVIARY_MODEL(<name>) is added to the registry automatically.
function(aviary_model_list target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL INTERFACE_LIBRARY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  set(list "")
  foreach(source ${sources})
    file(STRINGS ${source} lines REGEX "^AVIARY_MODEL\\(")
    foreach(line ${lines})
      string(REGEX REPLACE "^AVIARY_MODEL\\(([a-z0-9_]+).*" "\\1" name ${line})
      string(APPEND list "ENTRY(${name})\n")
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/model_list.inc CONTENT "${list}")
  target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/generated)
endfunction()

function(aviary_program)
  cmake_parse_arguments(PROGRAM "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cli/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  if(sources)
    add_executable(aviary_cli ${sources})
    set_target_properties(aviary_cli PROPERTIES OUTPUT_NAME aviary)
    target_link_libraries(aviary_cli PRIVATE ${PROGRAM_LINKS})
    # The commands only call the rooms, so they are optimized lightly: each contains all of CLI11.
    target_precompile_headers(aviary_cli PRIVATE ${precompiled} <CLI/CLI.hpp> <nlohmann/json.hpp>)
    target_compile_options(aviary_cli PRIVATE $<$<CONFIG:Release>:-O1> ${AVIARY_PRECOMPILED_OPTIONS})
    install(TARGETS aviary_cli)
  endif()
endfunction()
