// One rule for every text that a command reads, from a file or from the standard input; what the model reads
// before it; and what of a model's text reaches a terminal.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/quotes.h"
#include "base/utf8.h"
#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

class Texts : public testing::Test {
 protected:
  Texts() {
    train_tiny(folder_.path(), 3);
    expect_success(
        run(folder_.path(), {"vocab", "train", "text.txt", "--size", "300", "--out", "world.txt"}));
  }
  // Every command that reads a text, reading `text`.
  std::vector<Arguments> commands(const std::string& text) const {
    return {Arguments{"train", text, "--out", "new", "--steps", "1"} + tiny,
            {"compare", text, "--out", "comparison", "--versions", "rwkv4", "--steps", "1", "--layers", "1",
             "--width", "16", "--context", "16", "--batch", "1", "--tokenizer", "bytes"},
            {"evaluate", "run", text},
            {"tokenize", text, "--ids", "--tokenizer", "bytes"},
            {"vocab", "train", text, "--size", "300", "--out", "vocabulary"},
            {"convert", "run", "new.gguf", "--report", text},
            {"generate", "run", "-n", "3", "-f", text},
            {"logits", "run", "-f", text},
            {"embed", "run", text, "--out", "new.npy"},
            {"chat", "run", "-n", "3", "-f", text},
            {"state", "make", "run", "-f", text, "--out", "new.state"}};
  }
  Json evaluate(const Arguments& more, const std::string& input = "/dev/null") const {
    const Outcome outcome = run(folder_.path(), Arguments{"evaluate", "run", "--json"} + more, input);
    expect_success(outcome);
    return Json::parse(outcome.out);
  }
  void say(const std::string& model, const std::string& key, const std::string& value) const {
    rewrite_tensors(folder_ / model, [&](auto&, auto& metadata) { metadata[key] = value; });
  }

  const TestFolder folder_;
};

TEST_F(Texts, EveryCommandRefusesWhatIsNoText) {
  std::string wide, wider;
  for (const char c : prose(100)) {
    wide += std::string{c, '\0'};
    wider += std::string{c, '\0', '\0', '\0'};
  }
  const std::pair<std::string, std::string> bad[] = {{"", "empty"},
                                                     {"\xef\xbb\xbf", "empty"},
                                                     {"\xff\xfe" + wide, "UTF-16"},
                                                     {std::string("\xff\xfe\0\0", 4) + wider, "UTF-32"},
                                                     {wide, "NUL"},
                                                     {prose(100) + std::string(30, '\x01'), "control"},
                                                     {prose(100) + std::string(30, '\xe4'), "UTF-8"}};
  for (const auto& [content, word] : bad) {
    write(folder_ / "bad", content);
    const auto before = files_below(folder_.path());
    for (const Arguments& command : commands("bad")) {
      SCOPED_TRACE(command[0] + ", " + word);
      expect_refusal(run(folder_.path(), command), {"bad", word});
    }
    for (const Arguments& command : commands("-")) {
      SCOPED_TRACE(command[0] + " -, " + word);
      expect_refusal(run(folder_.path(), command, folder_ / "bad"), {"the standard input", word});
    }
    EXPECT_EQ(files_below(folder_.path()), before);
  }
}

TEST_F(Texts, EveryCommandReadsTheStandardInput) {
  for (const Arguments& command : commands("-")) {
    SCOPED_TRACE(command[0]);
    expect_success(run(folder_.path(), command, folder_ / "text.txt"));
  }
  // A run keeps such a text, to go on with it.
  EXPECT_EQ(read(folder_ / "new/text.txt"), read(folder_ / "text.txt"));
  expect_success(run(folder_.path(), {"train", "--resume", "new", "--steps", "2", "--threads", "1"}));
  EXPECT_EQ(read(folder_ / "comparison/text.txt"), read(folder_ / "text.txt"));
  // And writes over no other text.
  fs::create_directory(folder_ / "elsewhere");
  write(folder_ / "elsewhere/text.txt", "mine");
  Arguments train = commands("-")[0];
  train[3] = "elsewhere";
  expect_refusal(run(folder_.path(), train, folder_ / "text.txt"), {"elsewhere/text.txt", "--out"});
  EXPECT_EQ(read(folder_ / "elsewhere/text.txt"), "mine");
}

TEST_F(Texts, AByteOrderMarkIsLeftOutWithANote) {
  write(folder_ / "marked.txt", "\xef\xbb\xbf" + read(folder_ / "text.txt"));
  EXPECT_EQ(evaluate({"marked.txt"})["loss"], evaluate({"text.txt"})["loss"]);
  for (const Arguments& command :
       {commands("marked.txt")[2], commands("marked.txt")[3], commands("marked.txt")[7]}) {
    SCOPED_TRACE(command[0]);
    const Outcome outcome = run(folder_.path(), command);
    expect_success(outcome);
    EXPECT_NE(outcome.err.find("note: the text begins with a byte order mark"), std::string::npos);
  }
  const Arguments ids = {"tokenize", "marked.txt", "--ids", "--tokenizer", "bytes"};
  EXPECT_TRUE(run(folder_.path(), ids + Arguments{"--bytes"}).out.starts_with("239 187 191 "));
  EXPECT_FALSE(run(folder_.path(), ids).out.starts_with("239"));
}

TEST_F(Texts, APromptComesFromAFileOrTheStandardInputToo) {
  write(folder_ / "prompt", "the bird");
  for (const Arguments& command :
       {Arguments{"generate", "run", "-n", "20", "--seed", "3", "-q"}, Arguments{"logits", "run"}}) {
    const std::string expected = run(folder_.path(), command + Arguments{"-p", "the bird"}).out;
    EXPECT_EQ(run(folder_.path(), command + Arguments{"-f", "prompt"}).out, expected);
    EXPECT_EQ(run(folder_.path(), command + Arguments{"-f", "-"}, folder_ / "prompt").out, expected);
    EXPECT_EQ(run(folder_.path(), command + Arguments{"-p", "-"}, folder_ / "prompt").out, expected);
    expect_refusal(run(folder_.path(), command + Arguments{"-p", "a", "-f", "prompt"}),
                   {"--file", "--prompt"}, 2);
    expect_refusal(run(folder_.path(), command + Arguments{"-f", "none"}), {"none", "No such file"});
  }
  expect_refusal(run(folder_.path(), {"logits", "run", "--tokens", "1", "-f", "prompt"}), {"--file"}, 2);
  write(folder_ / "long", prose(200'000));
  const Outcome outcome = run(folder_.path(), {"generate", "run", "-n", "1", "-f", "long"});
  expect_success(outcome);
  EXPECT_NE(outcome.err.find("prompt: 200,000 tokens"), std::string::npos) << outcome.err;
}

TEST_F(Texts, ATextBeginsWithTheEndOfTextWhereTheModelSaysSo) {
  expect_success(run(folder_.path(), Arguments{"train", "text.txt", "--out", "world", "--steps", "2"} +
                                         tiny_with("world.txt")));
  const auto count = [&](const char* model, const Arguments& more) {
    const Outcome outcome = run(folder_.path(), Arguments{"evaluate", model, "text.txt", "--json"} + more);
    expect_success(outcome);
    return Json::parse(outcome.out);
  };
  const Json without = count("world", {}), with = count("world", {"--begin-token"});
  EXPECT_EQ(without["begins_with_end_of_text"], false);
  EXPECT_EQ(with["begins_with_end_of_text"], true);
  EXPECT_EQ(with["tokens"], without["tokens"].get<int>() + 1);
  EXPECT_EQ(with["bytes"], 4000);  // all of the text
  EXPECT_LT(without["bytes"], 4000);
  fs::copy_file(folder_ / "world/model.safetensors", folder_ / "said.safetensors");
  say("said.safetensors", "aviary.begin_token", "end_of_text");
  EXPECT_EQ(count("said.safetensors", {}), [&] {
    Json expected = with;
    expected["model"] = "said.safetensors";
    return expected;
  }());
  EXPECT_EQ(count("said.safetensors", {"--no-begin-token"})["tokens"], without["tokens"]);
  // The same token in the other commands.
  const Json ids = Json::parse(
      run(folder_.path(), {"tokenize", "--text", "the bird", "--tokenizer", "world.txt", "--json"}).out);
  std::string list = "0";
  for (const Json& id : ids["tokens"]) list += "," + id.dump();
  const std::string begun = run(folder_.path(), {"logits", "said.safetensors", "--tokens", list}).out;
  EXPECT_EQ(run(folder_.path(), {"logits", "said.safetensors", "-p", "the bird"}).out, begun);
  EXPECT_NE(run(folder_.path(), {"logits", "world", "-p", "the bird"}).out, begun);
  EXPECT_EQ(run(folder_.path(), {"logits", "world", "-p", "the bird", "--begin-token"}).out, begun);
  const Outcome written = run(folder_.path(), {"generate", "said.safetensors", "-p", "the bird", "-n", "1"});
  EXPECT_NE(written.err.find("prompt: " + std::to_string(ids["count"].get<int>() + 1) + " tokens"),
            std::string::npos)
      << written.err;
  expect_refusal(run(folder_.path(), {"evaluate", "run", "text.txt", "--begin-token"}),
                 {"no end-of-text token"});
  say("said.safetensors", "aviary.begin_token", "maybe");
  expect_refusal(run(folder_.path(), {"evaluate", "said.safetensors", "text.txt"}),
                 {"aviary.begin_token", "maybe"});
}

TEST_F(Texts, AModelWithTheWorldVocabularyBeginsWithTheEndOfTextUnlessItWasTrainedHere) {
  const fs::path vocabulary = shared_file("data/rwkv_vocab_v20230424.txt");
  if (vocabulary.empty()) GTEST_SKIP() << "set AVIARY_SHARED to a folder with data/rwkv_vocab_v20230424.txt";
  expect_success(run(folder_.path(), Arguments{"train", "text.txt", "--out", "world", "--steps", "1"} +
                                         tiny_with(vocabulary.string())));
  const auto begins = [&](const std::string& model) {
    const Outcome outcome = run(folder_.path(), {"evaluate", model, "text.txt", "--json"});
    expect_success(outcome);
    return Json::parse(outcome.out)["begins_with_end_of_text"].get<bool>();
  };
  EXPECT_FALSE(begins("world"));
  expect_success(run(folder_.path(), {"convert", "world", "kept.gguf"}));
  EXPECT_FALSE(begins("kept.gguf"));
  rewrite_tensors(folder_ / "world/model.safetensors",
                  [](auto&, auto& metadata) { metadata.erase("aviary.begin_token"); });
  EXPECT_TRUE(begins("world"));
  expect_success(run(folder_.path(), {"convert", "world", "published.gguf"}));
  EXPECT_TRUE(begins("published.gguf"));
}

TEST_F(Texts, ATerminalGetsNoControlCharactersOfAModelAndAFileGetsTheExactBytes) {
  const Arguments write_bytes = {"generate", "run",    "-n", "400", "--temperature", "3", "--top-p",
                                 "1",        "--seed", "1",  "-q"};
  const Outcome exact = run(folder_.path(), write_bytes + Arguments{"-p", "the\x1b"});
  expect_success(exact);
  EXPECT_EQ(exact.out.size(), 4u + 400u + 1u);  // one byte per token
  EXPECT_TRUE(exact.out.starts_with("the\x1b"));
  EXPECT_FALSE(is_utf8(exact.out));
  Terminal terminal(folder_.path(), write_bytes + Arguments{"-p", "the\x1b"});
  const std::string shown = terminal.read_all();
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_TRUE(shown.starts_with("the\\x1b")) << shown;
  EXPECT_EQ(for_terminal(shown), shown);
  EXPECT_TRUE(is_utf8(shown));

  Terminal detokenize(folder_.path(), {"detokenize", "104", "27", "105", "--tokenizer", "bytes"});
  EXPECT_EQ(detokenize.read_all(), "h\\x1bi");
}

TEST_F(Texts, SamplesShowNoControlCharacters) {
  Arguments flags = tiny;
  *(std::find(flags.begin(), flags.end(), "--sample-every") + 1) = "1";
  const Outcome outcome = run(
      folder_.path(),
      Arguments{"train", "text.txt", "--out", "samples", "--steps", "8", "--sample-prompt", "a\x1b"} + flags);
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("\"a\\x1b"), std::string::npos) << outcome.out;
  EXPECT_EQ(for_terminal(outcome.out), outcome.out);
}

// A vocabulary of the letters of the text.
std::string letters(const std::string& text) {
  Json vocabulary;
  for (const char c : text) vocabulary.emplace(std::string(1, c), vocabulary.size());
  return vocabulary.dump();
}

TEST_F(Texts, ASampleThatTheVocabularyCannotSpellDoesNotEndTheRun) {
  std::string genome;
  for (size_t i = 0; i < 4000; ++i) genome += "acgt"[i * i * 31 % 97 % 4];
  write(folder_ / "genome.txt", genome);
  write(folder_ / "vocab.json", letters("acgt"));
  Arguments flags = tiny_with("vocab.json");
  *(std::find(flags.begin(), flags.end(), "--sample-every") + 1) = "1";
  const Arguments train = Arguments{"train", "genome.txt", "--out", "genome", "--steps", "4"} + flags;
  expect_refusal(run(folder_.path(), train + Arguments{"--sample-prompt", "The "}),
                 {"--sample-prompt", "\"T\""});
  EXPECT_FALSE(fs::exists(folder_ / "genome"));
  const Outcome outcome = run(folder_.path(), train);
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("\"" + genome.substr(0, 8)), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(folder_ / "genome/model.safetensors"));
  expect_success(run(folder_.path(), {"train", "--resume", "genome", "--steps", "6", "--threads", "1"}));
}

TEST_F(Texts, ACurveThatCannotBeDrawnDoesNotEndTheRun) {
  fs::create_directories(folder_ / "new/loss.svg/in the way");
  write(folder_ / "new/config.json", read(folder_ / "run/config.json"));
  const Outcome outcome = run(folder_.path(), commands("text.txt")[0]);
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("note: the loss curve cannot be drawn"), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(folder_ / "new/checkpoint.safetensors"));
}

TEST_F(Texts, ALogThatCannotBeWrittenDoesNotEndTheRun) {
  const auto train = [&](const Arguments& arguments) {
    const Outcome outcome = run(folder_.path(), arguments);
    expect_success(outcome);
    const std::string note = "note: the steps are not logged";
    const size_t told = outcome.out.find(note);
    ASSERT_NE(told, std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.out.find(note, told + 1), std::string::npos) << "told twice: " << outcome.out;
  };
  fs::create_directories(folder_ / "new/log.jsonl/in the way");
  write(folder_ / "new/config.json", read(folder_ / "run/config.json"));
  Arguments begin = commands("text.txt")[0];
  begin[5] = "5";  // steps
  train(begin);
  fs::remove_all(folder_ / "new/log.jsonl");
  ASSERT_EQ(::mkfifo((folder_ / "new/log.jsonl").c_str(), 0600), 0);
  train({"train", "--resume", "new", "--steps", "8", "--threads", "1"});
  fs::remove(folder_ / "new/log.jsonl");
  const Outcome last = run(folder_.path(), {"train", "--resume", "new", "--steps", "10", "--threads", "1"});
  expect_success(last);
  EXPECT_EQ(last.out.find("note: "), std::string::npos) << last.out;
  const std::string log = read(folder_ / "new/log.jsonl");
  EXPECT_TRUE(log.starts_with("{\"step\":9,")) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

}  // namespace
}  // namespace aviary::program
