#include "formats/pickle.h"

#include <algorithm>
#include <utility>

namespace aviary {
namespace {

constexpr size_t max_bytes = size_t{64} << 20;
constexpr size_t max_values = size_t{1} << 20;
constexpr std::string_view ordered_dict = "collections OrderedDict";

// The names are those of Python's pickletools.
enum class Opcode : uint8_t {
  mark = '(',
  stop = '.',
  append = 'a',
  appends = 'e',
  binfloat = 'G',
  binget = 'h',
  binint = 'J',
  binint1 = 'K',
  binint2 = 'M',
  binpersid = 'Q',
  binput = 'q',
  binstring = 'T',
  binunicode = 'X',
  build = 'b',
  empty_dict = '}',
  empty_list = ']',
  empty_tuple = ')',
  global = 'c',
  long_binget = 'j',
  long_binput = 'r',
  none = 'N',
  reduce = 'R',
  setitem = 's',
  setitems = 'u',
  short_binstring = 'U',
  tuple = 't',
  proto = 0x80,
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  newobj = 0x81,
  newtrue = 0x88,
  newfalse = 0x89,
  long1 = 0x8a,
  short_binunicode = 0x8c,
  binunicode8 = 0x8d,
  stack_global = 0x93,
  memoize = 0x94,
  frame = 0x95,
};

class Unpickler {
 public:
  using Kind = PickleValue::Kind;
  using Index = PickleValue::Index;

  Unpickler(Bytes bytes, std::span<const std::string_view> allowed, std::string_view where)
      : reader_(bytes.first(std::min(bytes.size(), max_bytes)), where), allowed_(allowed), where_(where) {}

  Pickle run() {
    start_ = reader_.position();
    require(opcode() == Opcode::proto, "{}: is not a pickle of protocol 2 to 5", where_);
    check_protocol();
    for (;;) {
      start_ = reader_.position();
      Opcode next = opcode();
      if (next == Opcode::stop) break;
      step(next);
    }
    pickle_.root = pop();
    require(stack_.empty() && marks_.empty(), "{}: the pickle ends with unused values; it is damaged",
            where_);
    pickle_.size = reader_.position();
    return std::move(pickle_);
  }

 private:
  Opcode opcode() { return static_cast<Opcode>(reader_.read<uint8_t>()); }

  [[noreturn]] void fail_here(std::string_view problem) const {
    fail("{}: byte {} of the pickle: {}; the file is damaged or not a file of tensors", where_, start_,
         problem);
  }

  void check_protocol() {
    int protocol = reader_.read<uint8_t>();
    require(protocol >= 2 && protocol <= 5, "{}: the pickle has protocol {}, expected 2 to 5", where_,
            protocol);
  }

  // The stack. Nothing below the last mark is accessible.
  void push(Index index) { stack_.push_back(index); }
  void push(PickleValue value) {
    if (pickle_.values.size() >= max_values)
      fail("{}: the pickle holds more than {} values, expected a file of tensors", where_, max_values);
    pickle_.values.push_back(std::move(value));
    push(static_cast<Index>(pickle_.values.size() - 1));
  }
  void push_integer(Kind kind, int64_t integer) { push({.kind = kind, .integer = integer}); }
  void push_text(uint64_t size) { push({.kind = Kind::text, .text = as_text(reader_.take(size))}); }
  Index top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail_here("a value is missing");
    return stack_.back();
  }
  Index pop() {
    Index index = top();
    stack_.pop_back();
    return index;
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) fail_here("a mark is missing");
    auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Index> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  PickleValue& top_of(Kind kind, std::string_view problem) {
    PickleValue& value = pickle_.values[top()];
    if (value.kind != kind) fail_here(problem);
    return value;
  }

  // The memo. Python numbers its entries consecutively, so no number reaches the size of the pickle.
  void put(uint64_t number) {
    constexpr Index empty = ~Index{0};
    if (number >= reader_.position()) fail_here("the index of a memo entry is too large");
    if (number >= memo_.size()) memo_.resize(static_cast<size_t>(number) + 1, empty);
    memo_[static_cast<size_t>(number)] = top();
    ++remembered_;
  }
  void get(uint64_t number) {
    if (number >= memo_.size() || memo_[static_cast<size_t>(number)] >= pickle_.values.size())
      fail_here("a remembered value is missing");
    push(memo_[static_cast<size_t>(number)]);
  }

  void push_tuple(size_t size) {
    PickleValue tuple{.kind = Kind::tuple, .items = std::vector<Index>(size)};
    for (size_t i = size; i-- > 0;) tuple.items[i] = pop();
    push(std::move(tuple));
  }
  // "module name" from the list of allowed ones, so that the text need not be stored here.
  void push_global(std::string_view module, std::string_view name) {
    for (std::string_view known : allowed_)
      if (known.size() == module.size() + 1 + name.size() && known.starts_with(module) &&
          known.ends_with(name) && known[module.size()] == ' ')
        return push({.kind = Kind::global, .text = known});
    fail(
        "{}: the pickle names the Python object {}, which is never loaded or run here; expected only tensors "
        "in a dict, as torch.save(model.state_dict(), ...) writes them",
        where_, in_quotes(fmt::format("{}.{}", module, name)));
  }
  void read_global() {
    std::string_view module = reader_.line();
    push_global(module, reader_.line());
  }
  void read_stack_global() {
    Index name = pop(), module = pop();
    const PickleValue &name_value = pickle_.values[name], &module_value = pickle_.values[module];
    if (name_value.kind != Kind::text || module_value.kind != Kind::text) fail_here("a global has no name");
    push_global(module_value.text, name_value.text);
  }
  void reduce() {
    Index arguments = pop(), function = pop();
    if (pickle_.values[function].kind != Kind::global) fail_here("a call has no function");
    if (pickle_.values[arguments].kind != Kind::tuple) fail_here("a call has no arguments");
    if (pickle_.values[function].text != ordered_dict)
      return push({.kind = Kind::call, .items = {function, arguments}});
    if (!pickle_.values[arguments].items.empty()) fail_here("an OrderedDict has arguments");
    push({.kind = Kind::dict});
  }
  void build() {
    Index state = pop();
    if (pickle_.values[top()].kind == Kind::call) return;  // of an object that is not built
    top_of(Kind::dict, "a value that is no object has a state");
    if (pickle_.values[state].kind != Kind::dict) fail_here("the state of an OrderedDict is not a dict");
  }
  void set_items(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) fail_here("a key has no value");
    PickleValue& dict = top_of(Kind::dict, "items are set on something other than a dict");
    dict.items.insert(dict.items.end(), items.begin(), items.end());
  }
  void append_items(const std::vector<Index>& items) {
    PickleValue& list = top_of(Kind::list, "items are appended to something other than a list");
    list.items.insert(list.items.end(), items.begin(), items.end());
  }
  void set_item() {
    Index value = pop(), key = pop();
    set_items({key, value});
  }
  void read_long() {
    Bytes digits = reader_.take(reader_.read<uint8_t>());
    if (digits.size() > 8) fail_here("an integer has more than 64 bits");
    uint64_t value = 0;
    for (size_t i = 0; i < digits.size(); ++i) value |= std::to_integer<uint64_t>(digits[i]) << (8 * i);
    bool negative = !digits.empty() && (digits.back() & std::byte{0x80}) != std::byte{0};
    if (negative && digits.size() < 8) value |= ~uint64_t{0} << (8 * digits.size());
    push_integer(Kind::integer, static_cast<int64_t>(value));
  }
  void read_float() {  // the only big-endian number of the format
    uint64_t bits = __builtin_bswap64(reader_.read<uint64_t>());
    push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
  }

  // Handles the opcodes that push one value. False for all others.
  bool push_value(Opcode next) {
    switch (next) {
      case Opcode::none:
        return push(PickleValue{}), true;
      case Opcode::newtrue:
        return push_integer(Kind::boolean, 1), true;
      case Opcode::newfalse:
        return push_integer(Kind::boolean, 0), true;
      case Opcode::binint:
        return push_integer(Kind::integer, reader_.read<int32_t>()), true;
      case Opcode::binint1:
        return push_integer(Kind::integer, reader_.read<uint8_t>()), true;
      case Opcode::binint2:
        return push_integer(Kind::integer, reader_.read<uint16_t>()), true;
      case Opcode::long1:
        return read_long(), true;
      case Opcode::binfloat:
        return read_float(), true;
      case Opcode::short_binstring:
      case Opcode::short_binunicode:
        return push_text(reader_.read<uint8_t>()), true;
      case Opcode::binstring:
      case Opcode::binunicode:
        return push_text(reader_.read<uint32_t>()), true;
      case Opcode::binunicode8:
        return push_text(reader_.read<uint64_t>()), true;
      case Opcode::empty_tuple:
        return push_tuple(0), true;
      case Opcode::tuple1:
        return push_tuple(1), true;
      case Opcode::tuple2:
        return push_tuple(2), true;
      case Opcode::tuple3:
        return push_tuple(3), true;
      case Opcode::tuple:
        return push({.kind = Kind::tuple, .items = pop_to_mark()}), true;
      case Opcode::empty_list:
        return push({.kind = Kind::list}), true;
      case Opcode::empty_dict:
        return push({.kind = Kind::dict}), true;
      default:
        return false;
    }
  }

  void step(Opcode next) {
    if (push_value(next)) return;
    switch (next) {
      case Opcode::mark:
        return marks_.push_back(stack_.size());
      case Opcode::append:
        return append_items({pop()});
      case Opcode::appends:
        return append_items(pop_to_mark());
      case Opcode::setitem:
        return set_item();
      case Opcode::setitems:
        return set_items(pop_to_mark());
      case Opcode::binput:
        return put(reader_.read<uint8_t>());
      case Opcode::long_binput:
        return put(reader_.read<uint32_t>());
      case Opcode::memoize:
        return put(remembered_);
      case Opcode::binget:
        return get(reader_.read<uint8_t>());
      case Opcode::long_binget:
        return get(reader_.read<uint32_t>());
      case Opcode::global:
        return read_global();
      case Opcode::stack_global:
        return read_stack_global();
      case Opcode::newobj:  // a class is called, too
      case Opcode::reduce:
        return reduce();
      case Opcode::build:
        return build();
      case Opcode::binpersid:
        return push({.kind = Kind::persistent, .items = {pop()}});
      case Opcode::proto:
        return check_protocol();
      case Opcode::frame:
        reader_.take(8);
        return;
      default:
        break;
    }
    fail_here(fmt::format("the opcode 0x{:02x} is not among those that a file of tensors needs",
                          static_cast<int>(next)));
  }

  ByteReader reader_;
  std::span<const std::string_view> allowed_;
  std::string_view where_;
  size_t start_ = 0;  // of the current opcode
  Pickle pickle_;
  std::vector<Index> stack_;
  std::vector<size_t> marks_;
  std::vector<Index> memo_;
  uint64_t remembered_ = 0;
};

}  // namespace

Pickle read_pickle(Bytes bytes, std::span<const std::string_view> allowed, std::string_view where) {
  return Unpickler(bytes, allowed, where).run();
}

}  // namespace aviary
