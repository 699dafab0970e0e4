// The rules of the repository hold, and the check of each rule detects a violation.
#include "house.h"
#include "support/repository.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace aviary::house {
namespace {

namespace fs = std::filesystem;
using Complaints = std::vector<std::string>;

const Complaints none;

Rooms rooms_of_the_repository() {
  Complaints complaints;
  return read_rooms(read_text(repository() / "CMakeLists.txt"), complaints);
}

// A small repository that violates rules, in a folder that is removed afterwards.
class BrokenHouse : public testing::Test {
 protected:
  BrokenHouse() { fs::create_directories(root); }
  ~BrokenHouse() override { fs::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }

  const fs::path root = fs::temp_directory_path() / ("aviary-house-" + std::to_string(getpid()));
  const std::string cmake_lists =
      "aviary_room(base LINKS fmt::fmt)\n"
      "aviary_room(text LINKS aviary_base\n  PRIVATE_LINKS ZLIB::ZLIB)\n"
      "aviary_room(models LINKS aviary_base TEST_LINKS aviary_text)\n"
      "aviary_program(LINKS aviary_models)\n";

  Complaints links() const {
    Complaints complaints;
    return wrong_links(root, read_rooms(cmake_lists, complaints));
  }
};

TEST(House, RoomsLinkOnlyRoomsBelowThem) {
  Complaints complaints;
  const Rooms rooms = read_rooms(read_text(repository() / "CMakeLists.txt"), complaints);
  EXPECT_EQ(complaints, none);
  EXPECT_GE(rooms.size(), 12u);
  EXPECT_EQ(rooms.at("tensor").links, (std::set<std::string>{"base", "numbers"}));
}

TEST(House, LinksAreExactlyWhatIsIncluded) {
  EXPECT_EQ(wrong_links(repository(), rooms_of_the_repository()), none);
}

const Reserved json_parser{.pattern = R"([Jj]son::(parse|accept|from_[a-z]+)\b)",
                           .only_in = {"src/base/json.cpp"},
                           .reason = "parse_json of base/json.h bounds what a text from outside may cost"};

TEST(House, JsonIsParsedInOnePlace) { EXPECT_EQ(reserved_elsewhere(repository(), json_parser), none); }

const Reserved platform_headers{
    .pattern =
        R"(#\s*include\s*<(sys/|unistd\.h|fcntl\.h|malloc\.h|csignal|signal\.h|sched\.h|dlfcn\.h|pthread\.h|termios\.h|linux/|poll\.h|netdb\.h|netinet/|arpa/)|"/proc\b|"/sys/|\b(getenv|environ)\b)",
    .only_in = {"src/base/platform_linux"},
    .reason = "only the platform layer, base/platform.h, knows the operating system"};

TEST(House, OnlyThePlatformLayerKnowsTheOperatingSystem) {
  EXPECT_EQ(reserved_elsewhere(repository(), platform_headers), none);
}

const Reserved locale_numbers{.pattern = R"(\b(sto[df]|stold|strto[df]|strtold|atof|snprintf|sscanf)\()",
                              .only_in = {},
                              .reason =
                                  "numbers must not depend on the locale of a program that uses the library; "
                                  "use std::from_chars and fmt::format"};

TEST(House, NumbersDoNotDependOnTheLocale) {
  EXPECT_EQ(reserved_elsewhere(repository(), locale_numbers), none);
}

const Reserved cpu_kernels{.pattern = R"re(#\s*include\s*"kernels/[a-z_]+/)re",
                           .only_in = {"src/kernels/"},
                           .reason = "no other room knows which device computes"};

TEST(House, NoOtherRoomKnowsWhichDeviceComputes) {
  EXPECT_EQ(reserved_elsewhere(repository(), cpu_kernels), none);
}

const Reserved public_interface{.pattern = R"(#\s*include\s*<aviary/aviary\.h)",
                                .only_in = {"src/api/"},
                                .reason = "the public Model and State are implemented above this room"};

TEST(House, PublicHeadersAreTheGround) {
  EXPECT_EQ(public_includes(repository()), none);
  EXPECT_EQ(reserved_elsewhere(repository(), public_interface), none);
}

TEST(House, NoSourceFileIsLongerThan500Lines) { EXPECT_EQ(long_files(repository(), 500), none); }

TEST(House, NoFunctionIsLongerThan60Lines) {
  const std::map<std::string, int> longer = {
      {"src/models/rwkv7.cpp", 80},                // the parameters of a time mix, in the order of the paper
      {"src/kernels/cpu/block_dot_vnni.cpp", 70},  // one tile, whose sums must stay in registers
  };
  EXPECT_EQ(long_functions(repository(), 60, longer), none);
}

TEST(House, NamesInKernelFilesAreLocal) { EXPECT_EQ(shared_kernel_names(repository()), none); }

TEST(House, NoTwoFilesDefineATypeOfTheSameName) { EXPECT_EQ(shared_type_names(repository()), none); }

TEST(House, SourcesThatAreCompiledTogetherHaveNoLocalNameInCommon) {
  const std::set<std::string> apart = rooms_compiled_apart(read_text(repository() / "cmake/Rooms.cmake"));
  EXPECT_TRUE(apart.contains("kernels"));
  EXPECT_EQ(shared_local_names(repository(), apart), none);
}

TEST(House, SourcesIncludeTheHeadersOfTheNamesOfOtherNamespaces) {
  EXPECT_EQ(names_without_include(repository()), none);
}

TEST(House, EveryGoldenFolderThatATestNamesExists) { EXPECT_EQ(missing_goldens(repository()), none); }

TEST(House, DocumentsNameOnlyFilesThatExist) {
  std::vector<std::string> documents;
  for (const fs::path& folder : {repository(), repository() / "docs"})
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".md")
        documents.push_back(entry.path().lexically_relative(repository()).string());
  EXPECT_GE(documents.size(), 3u);
  EXPECT_EQ(dead_paths(repository(), documents), none);
}

TEST_F(BrokenHouse, ALinkUpwardIsDetected) {
  Complaints complaints;
  read_rooms("aviary_room(base LINKS aviary_text)\naviary_room(text LINKS aviary_base)\n", complaints);
  EXPECT_EQ(complaints, Complaints{"base links text, which is declared above it"});
}

TEST_F(BrokenHouse, AnIncludeWithoutALinkIsDetected) {
  write("src/base/a.h", "#include <text/b.h>\n#include \"text/b.h\"\n");
  write("src/text/b.cpp",
        "#include \"base/a.h\"\n#include \"b.h\"\n  #  include \"models/c.h\"\n#include <zlib.h>\n");
  write("src/text/json.cpp", "#include <nlohmann/json.hpp>\n");
  write("src/models/c.cpp", "#include \"base/a.h\"\n");
  write("src/models/c_test.cpp", "#include \"text/b.h\"\n#include \"models/c.h\"\n");
  write("src/cli/main.cpp", "#include \"models/c.h\"\n#include \"base/a.h\"\n");
  EXPECT_EQ(
      links(),
      (Complaints{"src/base/a.h includes text, which base does not link",
                  "src/cli/main.cpp includes base, which cli does not link",
                  "src/text/b.cpp includes models, which text does not link",
                  "src/text/json.cpp includes nlohmann_json::nlohmann_json, which text does not link"}));
}

TEST_F(BrokenHouse, AnUnneededLinkIsDetected) {
  write("src/text/b.cpp", "// #include \"base/a.h\"\n");
  write("src/models/c.cpp", "");
  write("src/models/c_test.cpp", "#include \"base/a.h\"\n");
  write("src/cli/main.cpp", "#include \"models/c.h\"\n");
  EXPECT_EQ(links(), (Complaints{"models links base, of which it includes nothing",
                                 "models links text for tests that do not need it",
                                 "text links ZLIB::ZLIB, of which it includes nothing",
                                 "text links base, of which it includes nothing"}));
}

TEST_F(BrokenHouse, AFolderThatIsNotARoomIsDetected) {
  write("src/attic/a.cpp", "");
  const Complaints complaints = links();
  EXPECT_EQ(std::count(complaints.begin(), complaints.end(), "src/attic is not declared in CMakeLists.txt"),
            1);
}

TEST_F(BrokenHouse, AParserOfJsonIsDetected) {
  write("src/base/json.cpp", "Json::parse(text);");
  write("src/text/a_test.cpp", "nlohmann::json::parse(text);");
  EXPECT_EQ(reserved_elsewhere(root, json_parser), none);
  write("src/text/a.cpp", "return nlohmann::ordered_json::parse(text);");
  EXPECT_EQ(reserved_elsewhere(root, json_parser).size(), 1u);
}

TEST_F(BrokenHouse, ASystemHeaderIsDetected) {
  write("src/base/platform_linux.cpp", "#include <unistd.h>\n");
  write("src/base/a_test.cpp", "#include <unistd.h>\n");
  write("src/base/a.cpp", "#include <system_error>\n");
  EXPECT_EQ(reserved_elsewhere(root, platform_headers), none);
  write("src/base/a.cpp", "#include <cstdio>\n#include <sys/mman.h>\n");
  write("src/base/b.cpp", "read(\"/proc/meminfo\");\n");
  EXPECT_EQ(reserved_elsewhere(root, platform_headers).size(), 2u);
}

TEST_F(BrokenHouse, ANumberThatDependsOnTheLocaleIsDetected) {
  write("src/base/a.cpp", "x = std::stod(text);");
  write("src/base/b.cpp", "from_chars(text); custom_atof();");
  EXPECT_EQ(reserved_elsewhere(root, locale_numbers).size(), 1u);
}

TEST_F(BrokenHouse, AnIncludeOfADeviceIsDetected) {
  write("src/kernels/a.cpp", "#include \"kernels/cpu/a.h\"\n");
  write("src/ops/a.cpp", "#include \"kernels/kernels.h\"\n");
  EXPECT_EQ(reserved_elsewhere(root, cpu_kernels), none);
  write("src/ops/b.h", "#include \"kernels/cpu/a.h\"\n");
  EXPECT_EQ(reserved_elsewhere(root, cpu_kernels).size(), 1u);
}

TEST_F(BrokenHouse, APublicHeaderThatNeedsARoomIsDetected) {
  write("include/aviary/a.hpp", "#include <aviary/error.h>\n#include <vector>\n#include <stdint.h>\n");
  EXPECT_EQ(public_includes(root), none);
  write("include/aviary/b.h", "#include \"base/error.h\"\n#include <fmt/format.h>\n");
  EXPECT_EQ(public_includes(root), (Complaints{"include/aviary/b.h includes \"base/error.h\"",
                                               "include/aviary/b.h includes <fmt/format.h>"}));
  write("src/base/a.cpp", "#include <aviary/error.h>\n");
  write("src/api/a.cpp", "#include <aviary/aviary.hpp>\n");
  EXPECT_EQ(reserved_elsewhere(root, public_interface), none);
  write("src/base/b.cpp", "#include <aviary/aviary.hpp>\n");
  EXPECT_EQ(reserved_elsewhere(root, public_interface).size(), 1u);
}

TEST_F(BrokenHouse, ALongFunctionIsDetected) {
  write("src/base/a.cpp",
        "namespace a {\n\n"
        "const int table[] = {\n    1,\n    2,\n    3,\n    4,\n};\n\n"
        "int f(int a,\n      int b) {\n  if (a) {\n    b();\n  }\n}\n\n"
        "struct S {\n  int a;\n  int b;\n  int c;\n  void g() {\n    f();\n    f();\n    f();\n    f();\n  "
        "}\n};\n\n"
        "void h() {\n}\n\n}  // namespace a\n");
  EXPECT_EQ(long_functions(root, 6), none);
  EXPECT_EQ(long_functions(root, 5, {{"src/base/a.cpp", 6}}), none);
  EXPECT_EQ(long_functions(root, 5), (Complaints{"src/base/a.cpp:10: a function of 6 lines, at most 5",
                                                 "src/base/a.cpp:21: a function of 6 lines, at most 5"}));
}

TEST_F(BrokenHouse, ALongFileIsDetected) {
  write("src/base/a.cpp", "1\n2\n3\n");
  EXPECT_EQ(long_files(root, 3), none);
  EXPECT_EQ(long_files(root, 2), Complaints{"src/base/a.cpp has 3 lines, at most 2"});
}

TEST_F(BrokenHouse, AKernelNameSharedByOtherFilesIsDetected) {
  write("src/kernels/cpu/a.cpp", "namespace aviary::kernels::HWY_NAMESPACE {\nnamespace {\nvoid f();\n");
  EXPECT_EQ(shared_kernel_names(root), none);
  write("src/kernels/cpu/b.cpp", "namespace aviary::kernels::HWY_NAMESPACE {\nvoid f();\n");
  EXPECT_EQ(shared_kernel_names(root).size(), 1u);
}

TEST_F(BrokenHouse, ATypeThatTwoFilesDefineIsDetected) {
  write("src/base/a.h",
        "namespace aviary {\nclass A;\nstruct B final : public A {\n  int b;\n};\n}  // namespace aviary\n");
  write("src/base/b.h",
        "namespace aviary {\nstruct A::C {};\nnamespace {\nenum class B {};\n}  // namespace\n}  // "
        "namespace aviary\n");
  write("src/text/a.h", "namespace aviary::text {\nclass B {\n}  // namespace aviary::text\n");
  EXPECT_EQ(shared_type_names(root), none);
  write("src/text/b.cpp", "namespace aviary {\nenum class B : int { one };\n}  // namespace aviary\n");
  EXPECT_EQ(shared_type_names(root), Complaints{"src/base/a.h and src/text/b.cpp both define aviary::B"});
}

TEST_F(BrokenHouse, ALocalNameThatTwoSourcesDefineIsDetected) {
  const std::string before = "namespace aviary {\nnamespace {\n",
                    after = "}  // namespace\n}  // namespace aviary\n";
  write("src/base/a.cpp",
        before + "namespace fs = std::filesystem;\nusing A = int;\nint f(int x) {\n  int y = 0;\n}\n" +
            "constexpr int most = 1;\n" + after + "int g() { return 1; }\n");
  write("src/base/b.cpp",
        before + "namespace fs = std::filesystem;\nusing A = int;\nconst int y = 2, g = f(most);\n" + after);
  write("src/base/a_test.cpp", before + "int f() { return 1; }\n" + after);
  write("src/text/a.cpp", before + "struct A {};\nint f() { return 1; }\n" + after);
  EXPECT_EQ(shared_local_names(root, {}), none);
  write("src/base/c.cpp", before + "using A = long;\n" + after);
  write("src/text/b.cpp", before + "class A : public B {\n};\nstatic std::vector<int> f() {\n}\n" + after);
  EXPECT_EQ(shared_local_names(root, {}), (Complaints{"src/base/a.cpp and src/base/c.cpp both define A",
                                                      "src/text/a.cpp and src/text/b.cpp both define A",
                                                      "src/text/a.cpp and src/text/b.cpp both define f"}));
  EXPECT_EQ(shared_local_names(root, {"text"}),
            Complaints{"src/base/a.cpp and src/base/c.cpp both define A"});
}

TEST_F(BrokenHouse, ANameWithoutItsHeaderIsDetected) {
  write("src/text/b.h", "\nnamespace aviary::text {\nint length();\n}\n");
  write("src/models/direct.cpp", "#include \"text/b.h\"\nint a = text::length();\n");
  write("src/models/indirect.h", "#include \"text/b.h\"\n");
  write("src/models/indirect.cpp",
        "#include \"models/indirect.h\"\nint a = text::length();  // other::text::x\n");
  write("src/models/without.cpp", "#include \"models/a.h\"\nint a = text::length() + context::length();\n");
  EXPECT_EQ(names_without_include(root),
            Complaints{"src/models/without.cpp uses text::length without including its header"});
}

TEST_F(BrokenHouse, AMissingGoldenFolderIsDetected) {
  write("tests/golden/here/config.json", "{}");
  write("src/base/a_test.cpp", "f(\"tests/golden/here/x\"); f(\"golden/gone\"); // golden/elsewhere\n");
  EXPECT_EQ(missing_goldens(root),
            Complaints{"src/base/a_test.cpp names tests/golden/gone, which does not exist"});
}

TEST_F(BrokenHouse, AMissingPathInADocumentIsDetected) {
  write("src/base/a.h", "");
  write("README.md",
        "See `src/base/a.h`, `src/base/b.h`, `src/models/<name>.cpp` and `build/release/aviary`.\n");
  EXPECT_EQ(dead_paths(root, {"README.md"}),
            Complaints{"README.md names src/base/b.h, which does not exist"});
}

}  // namespace
}  // namespace aviary::house
