// Jane Austen's six novels (public domain) as Debian's package r-cran-janeaustenr holds them.
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
// known by its title, the first line that is not empty; they are returned in the order of publication.
// Anything else than these six novels is refused with an Error.
std::vector<Novel> read_novels(const std::filesystem::path& path);

// Undoes the wrapping of lines, so that a model spends nothing on line ends. Lines without a letter or sign
// in them separate paragraphs; each paragraph becomes one line followed by an empty one ("\n\n"), the last
// one too, so that texts can be put one behind the other. The lines of a paragraph are joined by one space,
// or by nothing after a line that ends with a dash "--"; runs of spaces and tabs become one space, and none
// is left at either end.
std::string unwrap(std::span<const std::string> lines);

}  // namespace aviary
