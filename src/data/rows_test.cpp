#include "data/rows.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/utf8.h"
#include "data/text_file.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

using namespace std::string_literals;

std::vector<Sample> read(const std::string& text, const RowOptions& options = {}) {
  std::vector<Sample> samples;
  read_rows(text, "a.jsonl", options, [&](Sample&& sample) { samples.push_back(std::move(sample)); });
  return samples;
}

// The text of the first row, with its trained parts in brackets.
std::string shown_row(const std::string& text, const RowOptions& options = {}) {
  const Sample sample = read(text, options).at(0);
  std::string result;
  size_t at = 0;
  for (const Span& span : sample.trained) {
    result += sample.text.substr(at, span.begin - at) + "[" +
              sample.text.substr(span.begin, span.end - span.begin) + "]";
    at = span.end;
  }
  return result + sample.text.substr(at);
}

std::string rows_complaint(const std::string& text, const RowOptions& options = {}) {
  try {
    read(text, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const size_t at = text.find(part);
  return at == text.npos ? text : text.replace(at, part.size(), by);
}

TEST(Rows, EveryKindBecomesATextOfWhichThePartsToLearnAreTrained) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"({"text": "a\r\n\n\nb "})", "[a\r\n\n\nb ]"},
      {R"({"segments": [{"text": "q", "train": false}, {"text": " a", "train": true}, {"text": "b", "train": true},
           {"text": "", "train": false}, {"text": "c", "train": false}]})",
       "q[ ab]c"},
      {R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
           {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"},
           {"role": "assistant", "content": "b"}]})",
       "System: s\n\nUser: q\n\nAssistant:[ a\n\n]User: r\n\nAssistant:[ b]"},
      {R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "id": 7})",
       "User: q\n\nAssistant:[ a]"},
      {R"({"prompt": "q\r\n\n\n", "completion": " a\n"})", "q\r\n\n\n[ a\n]"},
      {R"({"prompt": "", "completion": "a"})", "[a]"},
      {R"({"instruction": "i", "output": "o"})", "User: i\n\nAssistant:[ o]"},
      {R"({"instruction": "i", "input": "", "output": "o"})", "User: i\n\nAssistant:[ o]"},
      {R"({"instruction": "i", "input": "x", "output": "o"})", "User: i\nx\n\nAssistant:[ o]"},
      {R"({"instruction": "i", "input": null, "output": "o"})", "User: i\n\nAssistant:[ o]"},
      {R"({"instruction": "i", "output": "o", "system": "s", "history": [["q", "a"], ["r", "b"]]})",
       "System: s\n\nUser: q\n\nAssistant:[ a\n\n]User: r\n\nAssistant:[ b\n\n]User: i\n\nAssistant:[ o]"},
      {R"({"instruction": "i", "output": "o", "system": "", "history": []})", "User: i\n\nAssistant:[ o]"},
      {R"({"query": "q", "response": "r", "system": "s", "history": [["a", "b"]]})",
       "System: s\n\nUser: a\n\nAssistant:[ b\n\n]User: q\n\nAssistant:[ r]"},
      {R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"})",
       "System: s\n\nUser: q\n\nAssistant:[ a]"},
      {R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0},
           {"role": "user", "content": "r"}, {"role": "assistant", "content": "b", "weight": 1}],
           "system": null})",
       "User: q\n\nAssistant: a\n\nUser: r\n\nAssistant:[ b]"},
      {R"({"query": "q", "response": "r", "prompt": "another key"})", "User: q\n\nAssistant:[ r]"}};
  for (const auto& [row, expected] : rows) {
    std::string line = row;
    std::replace(line.begin(), line.end(), '\n', ' ');
    EXPECT_EQ(shown_row(line), expected) << row;
  }
}

TEST(Rows, TurnsAreCleanedSoThatAnEmptyLineEndsATurn) {
  EXPECT_EQ(shown_row(R"({"query": " \u3000a\r\n\r\n\n b\n\nUser: c\n", "response": "\n\n<b>\r\n\r\n\t"})"),
            "User: a\n b\nUser: c\n\nAssistant:[ <b>]");
  EXPECT_EQ(shown_row(R"({"query": "a\rb", "response": "c\r"})"), "User: a\rb\n\nAssistant:[ c]");
}

TEST(Rows, AConversationMayEndWithAQuestionAndAnEmptySystemTurnIsLeftOut) {
  EXPECT_EQ(
      shown_row(R"({"messages": [{"role": "system", "content": " "}, {"role": "assistant", "content": "a"},)"
                R"( {"role": "user", "content": "q"}]})"),
      "Assistant:[ a\n\n]User: q");
}

// Every kind, with the JSON of what is to be learned at @, and the keys that it needs.
struct KindOfRow {
  std::string row, key;
};
const std::vector<KindOfRow> kinds = {
    {R"({"text": @})", "text"},
    {R"({"segments": [{"text": "q", "train": false}, {"text": @, "train": true}]})", "train"},
    {R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": @}]})", "content"},
    {R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": @}]})", "value"},
    {R"({"prompt": "q", "completion": @})", "completion"},
    {R"({"instruction": "q", "input": "x", "output": @})", "output"},
    {R"({"query": "q", "response": @})", "response"}};

// Expects the row to be refused with this sentence, and with skip_broken to be skipped between two good ones.
void expect_broken(const std::string& row, const std::string& sentence, RowOptions options = {}) {
  const std::string good = R"({"text": "good"})", file = good + "\n" + row + "\n" + good + "\n";
  const std::string error = rows_complaint(file, options), shown = excerpt(row);
  EXPECT_TRUE(error.starts_with("a.jsonl:2: ")) << shown << "\n" << error;
  EXPECT_NE(error.find(sentence), error.npos) << shown << "\n" << error << "\n" << sentence;
  std::vector<std::string> reports;
  options.skip_broken = true;
  options.report = [&](const std::string& message) { reports.push_back(message); };
  std::vector<std::string> read;
  const RowCounts counts =
      read_rows(file, "a.jsonl", options, [&](Sample&& sample) { read.push_back(sample.where); });
  EXPECT_EQ(read, (std::vector<std::string>{"a.jsonl:1", "a.jsonl:3"})) << shown;
  EXPECT_EQ(reports, std::vector<std::string>{error});
  EXPECT_EQ(counts.rows, 3);
  EXPECT_EQ(counts.broken, 1);
}

TEST(Rows, EveryKindBrokenInAnyWayIsRefusedInOneSentenceWithItsLine) {
  const std::string nested = std::string(100'000, '[') + std::string(100'000, ']');
  for (const auto& [row, key] : kinds) {
    auto with = [&, &row = row](const std::string& json) { return replaced(row, "@", json); };
    const std::string good = with(R"("a")"), quoted = "\"" + key + "\"";
    EXPECT_EQ(rows_complaint(good), "accepted") << row;
    // One of the keys is missing: the last of those that have this name.
    std::string missing = good;
    missing.replace(missing.rfind(quoted), quoted.size(), "\"other\"");
    expect_broken(missing,
                  key == "text" ? "expected a row with the keys text, or segments" : "no '" + key + "'");
    const std::string second = key == "text" ? R"({"query": "q", "response": "r", )" : R"({"text": "t", )";
    expect_broken(replaced(good, "{", second), "the row is of two kinds: it has text, and ");
    expect_broken(with("\"a\xff\""), fmt::format("byte {} of the line is not UTF-8", row.find('@') + 2));
    expect_broken(with("12"), "is a JSON number, expected a string");
    expect_broken(with("null"), "is a JSON null, expected a string");
    expect_broken(with("\"\""), "empty");
    expect_broken(with("\"" + std::string(5000, 'a') + "\""),
                  "the line has more than 3.91 KiB, the most that a row may have", {.longest_line = 4000});
    expect_broken(with("\"a\0b\""s), fmt::format("byte {} of the line is NUL", row.find('@') + 2));
    expect_broken(with(R"("a\u0000b")"), "the text has a NUL character");
    expect_broken(with(R"("a\ud800b")"), "not valid JSON from byte ");
    expect_broken(with(R"("a\udc00b")"), "not valid JSON from byte ");
    expect_broken(with(nested), "the JSON is nested more than 16 deep");
    expect_broken(with("\"a"), "not valid JSON from byte ");
    EXPECT_EQ(read("\xef\xbb\xbf" + good + "\r\n \r\n" + good).size(), 2u);
    EXPECT_EQ(shown_row("\xef\xbb\xbf" + good + "\r\n"), shown_row(good));
  }
}

TEST(Rows, ListsOfOtherThingsAreRefused) {
  expect_broken("[1]", "the row is a JSON array, expected an object");
  expect_broken("{}", "it has none");
  expect_broken(R"({"a\n": 1, "b": 2})", "it has 'a\\n', 'b'");
  expect_broken(R"({"prompt": "q"})", "the row has 'prompt' but no 'completion'");
  expect_broken(R"({"output": "o"})", "the row has 'output' but no 'instruction'");
  expect_broken(R"({"instruction": "i", "input": 3, "output": "o"})", "'input' is a JSON number");
  expect_broken(R"({"instruction": "", "input": " ", "output": "o"})", "'instruction' is empty");
  expect_broken(R"({"query": "\n", "response": "o"})", "'query' is empty");
  expect_broken(R"({"query": "q", "response": "r", "system": 1})", "'system' is a JSON number");
  expect_broken(R"({"query": "q", "response": "r", "history": "a"})", "'history' is a JSON string");
  expect_broken(R"({"query": "q", "response": "r", "history": [["a"]]})",
                "pair 1 of 'history' is not an array of a question and an answer");
  expect_broken(R"({"query": "q", "response": "r", "history": [["a", 1]]})",
                "the answer in pair 1 of 'history' is a JSON number");
  expect_broken(R"({"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]})",
                "'weight' of turn 1 is neither 0 nor 1");
  expect_broken(R"({"messages": [{"role": "assistant", "content": "a", "weight": 0}]})",
                "no part of the row is trained");
  expect_broken(R"({"prompt": "q", "completion": "a", "completion": "b"})",
                "an object has the key 'completion' twice");
  expect_broken(R"({"segments": {}})", "'segments' is a JSON object, expected an array");
  expect_broken(R"({"segments": []})", "'segments' is an empty array");
  expect_broken(R"({"segments": ["a"]})", "segment 1 is a JSON string, expected an object");
  expect_broken(R"({"segments": [{"text": "a", "train": 1}]})", "'train' of segment 1 is a JSON number");
  expect_broken(R"({"segments": [{"text": "a", "train": false}]})", "no part of the row is trained");
  expect_broken(R"({"messages": [{"role": "user", "content": "q"}]})", "no turn is an answer");
  expect_broken(R"({"messages": [{"role": 1, "content": "q"}]})", "'role' of turn 1 is a JSON number");
  expect_broken(R"({"messages": [{"role": "tool\u001b", "content": "q"}]})",
                "turn 1 is of the role 'tool\\x1b', expected system, user, assistant, human or gpt");
  expect_broken(R"({"conversations": [{"from": "human", "value": ""}]})", "turn 1 is empty");
}

TEST(Rows, OnlyTheFirstFewBrokenRowsAreReported) {
  std::string text = "{\"text\": \"a\"}\n";
  for (int i = 0; i < 50; ++i) text += "{\"text\": }\n";
  int reports = 0;
  const RowOptions options{.skip_broken = true, .report = [&](const std::string&) { ++reports; }};
  const RowCounts counts =
      read_rows(text, "a.jsonl", options, [](Sample&&) { fail("refused by the caller"); });
  EXPECT_EQ(counts.rows, 51);
  EXPECT_EQ(counts.broken, 51);
  EXPECT_EQ(reports, 3);
}

TEST(Rows, ALineOfAGigabyteIsRefusedWithoutReadingItToItsEnd) {
  const TestFolder folder;
  const auto path = folder / "a.jsonl";
  write_file_atomically(path, std::string_view("{\"text\": \""));
  std::filesystem::resize_file(path, uint64_t{1} << 30);  // sparse
  const InputFile file(path);
  std::string error;
  try {
    read_rows(file.bytes(), "a.jsonl", {}, [](Sample&&) {});
  } catch (const Error& refused) {
    error = refused.what();
  }
  EXPECT_EQ(error, "a.jsonl:1: the line has more than 64.0 MiB, the most that a row may have");
}

TEST(Rows, ALineMayHaveExactlyTheMostBytes) {
  const std::string row = R"({"text": "abc"})";
  const auto size = std::ssize(row);
  for (const std::string end : {"", "\n"}) {
    EXPECT_EQ(rows_complaint(row + end, {.longest_line = size}), "accepted");
    EXPECT_NE(rows_complaint(row + end, {.longest_line = size - 1}), "accepted");
  }
}

TEST(Rows, KeysThatAreNotReadAreNoted) {
  const std::string rows = R"({"instruction": "i", "input": "x", "output": "o", "history": [], "topic": 1})"
                           "\n"
                           R"({"prompt": "p", "completion": "c", "system": "s", "label": false, "old": 1})";
  EXPECT_EQ(read_rows(rows, "a", {.rename = {{"old", "unused"}}}, [](Sample&&) {}).ignored,
            (std::set<std::string>{"label", "system", "topic"}));
  std::string many = R"({"text": "t")";
  for (int i = 0; i < 100; ++i) many += fmt::format(", \"{}\": 0", i);
  EXPECT_EQ(read_rows(many + "}", "a", {}, [](Sample&&) {}).ignored.size(), 20u);
}

TEST(Rows, KeysAreReadAsOthers) {
  const std::string row = R"({"question": "q", "answer": "a"})";
  const RowOptions options{.rename = {{"question", "prompt"}, {"answer", "completion"}, {"gone", "text"}}};
  EXPECT_EQ(shown_row(row, options), "q[a]");
  EXPECT_EQ(read_rows(row, "a", options, [](Sample&&) {}).renamed,
            (std::set<std::string>{"question", "answer"}));
  EXPECT_EQ(shown_row(R"({"prompt": "a", "completion": "b"})",
                      {.rename = {{"prompt", "completion"}, {"completion", "prompt"}}}),
            "b[a]");
  EXPECT_EQ(shown_row(R"({"text": "t", "query": "q", "response": "r"})", {.rename = {{"text", "unused"}}}),
            "User: q\n\nAssistant:[ r]");
  EXPECT_EQ(rows_complaint(R"({"prompt": "q", "question": "r"})", options),
            "a.jsonl:1: two keys of the row are read as 'prompt'");
}

TEST(HoldsRows, IsDecidedByTheFirstLineThatIsNotEmpty) {
  for (const char* rows :
       {"{\"text\": 1}", " \r\n\n\t{ \"a\": 1}\nplain", "\xef\xbb\xbf{\"a\"", "{\"text\": \"cut off"})
    EXPECT_TRUE(holds_rows(rows, "a")) << rows;
  for (const char* text :
       {"", " \n", "plain {\"text\"", "{", "{\n}", "{a: 1}", "[1, 2]", "\\{\"a\"}", "\"{\""})
    EXPECT_FALSE(holds_rows(text, "a")) << text;
  for (const std::string& bytes : {"[{\"text\": 1}]"s, " [\n {"s}) try {
      holds_rows(bytes, "a.json");
      ADD_FAILURE() << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(),
                "a.json: it begins like an array of JSON objects, expected one object per line; "
                "convert it with: jq -c '.[]'"s);
    }
  for (const std::string& bytes : {"{\n\"text\": 1}"s, "\n{ \r\n  \"a\": [\n"s}) try {
      holds_rows(bytes, "a.json");
      ADD_FAILURE() << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.what(),
                "a.json: it begins like a JSON object on several lines, expected one object per line; "
                "convert it with: jq -c ."s);
    }
  EXPECT_THROW(holds_rows("\xff\xfe{\0"s, "a"), Error);
}

}  // namespace
}  // namespace aviary
