// The rules of the house hold for this repository, and each rule notices when it is broken.
#include "house.h"
#include "support/repository.h"

#include <gtest/gtest.h>
#include <unistd.h>

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

// A small repository that breaks rules, in a folder that is removed afterwards.
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
      "aviary_room(models LINKS aviary_base)\n"
      "aviary_program(LINKS aviary_models)\n";
};

TEST(House, RoomsLinkOnlyRoomsBelowThem) {
  Complaints complaints;
  const Rooms rooms = read_rooms(read_text(repository() / "CMakeLists.txt"), complaints);
  EXPECT_EQ(complaints, none);
  EXPECT_GE(rooms.size(), 12u);
  EXPECT_EQ(rooms.at("ops"), (std::set<std::string>{"base", "tensor", "kernels", "ops"}));
}

TEST(House, IncludesFollowTheOrderOfTheRooms) {
  EXPECT_EQ(forbidden_includes(repository(), rooms_of_the_repository()), none);
}

TEST(House, NoSourceFileIsLongerThan600Lines) { EXPECT_EQ(long_files(repository(), 600), none); }

TEST(House, KernelFilesKeepTheirNamesToThemselves) { EXPECT_EQ(shared_kernel_names(repository()), none); }

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

TEST_F(BrokenHouse, ALinkUpwardIsNoticed) {
  Complaints complaints;
  read_rooms("aviary_room(base LINKS aviary_text)\naviary_room(text LINKS aviary_base)\n", complaints);
  EXPECT_EQ(complaints, Complaints{"base links text, which is declared above it"});
}

TEST_F(BrokenHouse, AnIncludeOfARoomThatIsNotLinkedIsNoticed) {
  write("src/base/a.h", "#include <text/b.h>\n#include \"text/b.h\"\n");
  write("src/text/b.cpp", "#include \"base/a.h\"\n#include \"b.h\"\n  #  include \"models/c.h\"\n");
  write("src/cli/main.cpp", "#include \"models/c.h\"\n#include \"base/a.h\"\n#include \"text/b.h\"\n");
  Complaints complaints;
  const Rooms rooms = read_rooms(cmake_lists, complaints);
  EXPECT_EQ(forbidden_includes(root, rooms),
            (Complaints{"src/base/a.h includes room text, which base does not link",
                        "src/cli/main.cpp includes room text, which cli does not link",
                        "src/text/b.cpp includes room models, which text does not link"}));
}

TEST_F(BrokenHouse, AFolderThatIsNoRoomIsNoticed) {
  write("src/attic/a.cpp", "");
  Complaints complaints;
  EXPECT_EQ(forbidden_includes(root, read_rooms(cmake_lists, complaints)),
            Complaints{"src/attic is not declared in CMakeLists.txt"});
}

TEST_F(BrokenHouse, ALongFileIsNoticed) {
  write("src/base/a.cpp", "1\n2\n3\n");
  EXPECT_EQ(long_files(root, 3), none);
  EXPECT_EQ(long_files(root, 2), Complaints{"src/base/a.cpp has 3 lines, at most 2"});
}

TEST_F(BrokenHouse, AKernelWhoseNameOtherFilesShareIsNoticed) {
  write("src/kernels/cpu/a.cpp", "namespace aviary::kernels::HWY_NAMESPACE {\nnamespace {\nvoid f();\n");
  EXPECT_EQ(shared_kernel_names(root), none);
  write("src/kernels/cpu/b.cpp", "namespace aviary::kernels::HWY_NAMESPACE {\nvoid f();\n");
  EXPECT_EQ(shared_kernel_names(root).size(), 1u);
}

TEST_F(BrokenHouse, AMissingGoldenFolderIsNoticed) {
  write("tests/golden/here/config.json", "{}");
  write("src/base/a_test.cpp", "f(\"tests/golden/here/x\"); f(\"golden/gone\"); // golden/elsewhere\n");
  EXPECT_EQ(missing_goldens(root),
            Complaints{"src/base/a_test.cpp names tests/golden/gone, which does not exist"});
}

TEST_F(BrokenHouse, APathThatNoLongerExistsIsNoticedInADocument) {
  write("src/base/a.h", "");
  write("README.md",
        "See `src/base/a.h`, `src/base/b.h`, `src/models/<name>.cpp` and `build/release/aviary`.\n");
  EXPECT_EQ(dead_paths(root, {"README.md"}),
            Complaints{"README.md names src/base/b.h, which does not exist"});
}

}  // namespace
}  // namespace aviary::house
