// Files that are not what their names say, because fetching them went wrong.
#pragma once

#include <string_view>

namespace aviary {

// What a file holds instead, as the end of a sentence that begins with "the file is": a Git LFS pointer, a
// compressed file, a web page, zeros. Empty if the bytes look like none of these.
std::string_view failed_download(std::string_view bytes);

// The first of these; texts may look like the others.
bool is_lfs_pointer(std::string_view bytes);

}  // namespace aviary
