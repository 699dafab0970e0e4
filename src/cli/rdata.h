// Jane Austen's six novels (public domain) from Debian's package r-cran-janeaustenr.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace aviary {

struct Novel {
  std::string
      name;  // "sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey", "persuasion"
  std::vector<std::string> lines;
};

// Reads the package's file usr/lib/R/site-library/janeaustenr/data/Rdata.rdb: for each novel 4 bytes with the
// size of the data, big-endian, and a zlib stream of R's XDR serialization of a vector of lines. A novel is
// recognized by its title, the first non-empty line; the novels are returned in the order of publication.
// Throws Error for anything but these six novels.
std::vector<Novel> read_novels(const std::filesystem::path& path);

// Unwraps lines, so that a model need not learn line breaks. Blank lines separate paragraphs; each paragraph
// becomes one line followed by an empty one ("\n\n"), including the last, so that texts can be concatenated.
// The lines of a paragraph are joined by one space, or by nothing after a line that ends with a dash "--";
// runs of spaces and tabs become one space, and none is left at either end.
std::string unwrap(std::span<const std::string> lines);

}  // namespace aviary
