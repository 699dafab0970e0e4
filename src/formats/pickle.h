// The part of Python's pickle format (protocols 2 to 5) that a file of tensors needs, read as plain data.
// Nothing is ever imported, called or built: a call in the pickle becomes a value of kind `call`, which the
// reader of the file format may recognize, and a name that is not in the given list is an error.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "formats/bytes.h"

namespace aviary {

struct PickleValue {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    real,
    text,
    tuple,
    list,
    dict,
    global,
    call,
    persistent
  };
  using Index = uint32_t;

  Kind kind = Kind::none;
  int64_t integer = 0;  // boolean, integer
  double real = 0;
  // text: its bytes, in the pickle; global: "module name", from the list of allowed ones.
  std::string_view text{};
  // tuple, list: the items; dict: key, value, key, value ...; call: function, arguments (a tuple);
  // persistent: its id. Values may be shared and may contain themselves.
  std::vector<Index> items{};
};

struct Pickle {
  std::vector<PickleValue> values;
  PickleValue::Index root = 0;
  size_t size = 0;  // bytes read, including STOP

  const PickleValue& operator[](PickleValue::Index index) const { return values[index]; }
};

// Reads one pickle from the beginning of `bytes`. `allowed` are the globals that it may use, as "module
// name". `collections OrderedDict` called without arguments becomes a dict; what BUILD would set on it
// (`_metadata`) or on the result of a call is ignored. Time and memory are proportional to the bytes read; at
// most 64 MiB and a million values.
Pickle read_pickle(Bytes bytes, std::span<const std::string_view> allowed, std::string_view where);

}  // namespace aviary
