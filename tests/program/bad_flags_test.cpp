// Invalid flags and paths: one error sentence, a non-zero exit code, nothing written.
#include <gtest/gtest.h>

#include "program.h"

namespace aviary::program {
namespace {

struct BadFlag {
  const char* name;  // of the test
  Arguments arguments;
  std::vector<std::string> words;
  int code = 1;  // 2: the command line itself
};
void PrintTo(const BadFlag& flag, std::ostream* out) { *out << flag.name; }

class BadFlags : public testing::TestWithParam<BadFlag> {};

TEST_P(BadFlags, AreErrorsInOneSentence) {
  const TestFolder folder;
  Arguments arguments = GetParam().arguments;
  if (!arguments.empty() &&
      (arguments[0] == "generate" || arguments[0] == "logits" || arguments[0] == "verify"))
    train_tiny(folder.path(), 1);
  else
    write(folder / "text.txt", prose(4000));
  const auto before = files_below(folder.path());
  expect_refusal(run(folder.path(), arguments), GetParam().words, GetParam().code);
  EXPECT_EQ(files_below(folder.path()), before);
}

Arguments train(const std::string& flag, const std::string& value) {
  return {"train", "text.txt", "--out", "run2", flag, value};
}
Arguments generate(const std::string& flag, const std::string& value) {
  return {"generate", "run", "--threads", "1", flag, value};
}

std::string name_of(const testing::TestParamInfo<BadFlag>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    OfTrain, BadFlags,
    testing::Values(
        BadFlag{"StepsZero", train("--steps", "0"), {"--steps is 0"}},
        BadFlag{"StepsBelowZero", train("--steps", "-1"), {"--steps is -1"}},
        BadFlag{"ContextZero", train("--context", "0"), {"--context is 0"}},
        BadFlag{"BatchOfMillions", train("--batch", "99999999"), {"--batch is 99999999"}},
        BadFlag{"BatchBeyondAnyMemory",
                {"train", "text.txt", "--out", "run2", "--batch", "65536", "--context", "1048576"},
                {"memory"}},
        BadFlag{"WidthSeven", train("--width", "7"), {"--width is 7"}},
        BadFlag{"WidthBeyondAnyMemory",
                {"train", "text.txt", "--out", "run2", "--width", "65536", "--layers", "1024"},
                {"memory"}},
        BadFlag{"HeadSizeFive", train("--head-size", "5"), {"head", "5", "width"}},
        BadFlag{"HeadSizeBelowZero", train("--head-size", "-8"), {"-8"}},
        BadFlag{"LayersZero", train("--layers", "0"), {"--layers is 0"}},
        BadFlag{"LearningRateNan", train("--learning-rate", "nan"), {"--learning-rate: 'nan' is not"}, 2},
        BadFlag{
            "LearningRateOfLetters", train("--learning-rate", "fast"), {"--learning-rate: 'fast' is not"}, 2},
        BadFlag{"LearningRateBeyondAllNumbers",
                train("--learning-rate", "1e999"),
                {"--learning-rate: '1e999'"},
                2},
        BadFlag{"StepsWithAUnit", train("--steps", "10k"), {"--steps: '10k' is not a whole number"}, 2},
        BadFlag{"StepsTrue", train("--steps", "true"), {"--steps: 'true'"}, 2},
        BadFlag{"StepsHexadecimal", train("--steps", "0x10"), {"--steps: '0x10'"}, 2},
        BadFlag{"StepsBeyondAllNumbers",
                train("--steps", "9223372036854775808"),
                {"--steps: '9223372036854775808'"},
                2},
        BadFlag{"SeedBelowZero", train("--seed", "-2"), {"--seed: '-2' is not", "random"}, 2},
        BadFlag{"SeedBeyondAllNumbers",
                train("--seed", "18446744073709551616"),
                {"--seed: '18446744073709551616'"},
                2},
        BadFlag{"SeedEmpty", train("--seed", ""), {"--seed: '' is not"}, 2},
        BadFlag{"ValidationBytesOfLetters",
                train("--validation-bytes", "many"),
                {"--validation-bytes: 'many'", "64MiB"},
                2},
        BadFlag{"WarmUpWithoutSteps",
                {"train", "text.txt", "--out", "run2", "--steps", "3", "--warmup-from", "0.5"},
                {"--warmup-from", "--warmup"}},
        BadFlag{"ValidationOfNothing",
                {"train", "text.txt", "--out", "run2", "--validation-bytes", "0", "--validate-every", "5"},
                {"--validate-every", "--validation-bytes is 0"}},
        BadFlag{"WarmUpLongerThanTheQuickstart",
                {"train", "text.txt", "--out", "run2", "--preset", "quickstart", "--warmup", "5000"},
                {"--warmup is 5000", "950 steps"}},
        BadFlag{"SamplePromptWithAnEscapeThatIsNone",
                {"train", "text.txt", "--out", "run2", "--escape", "--sample-prompt", "\\q"},
                {"--sample-prompt", "\\q"}},
        BadFlag{"EscapeOfNothing",
                {"train", "text.txt", "--out", "run2", "--escape"},
                {"--escape", "--sample-prompt"},
                2},
        BadFlag{"TheVersionIsNoModel",
                train("--model", "rwkv4"),
                {"no option \"--model\"", "did you mean --model-version"},
                2},
        BadFlag{"DropoutTwo", train("--dropout", "2"), {"--dropout is 2"}},
        BadFlag{"MinutesNan", train("--minutes", "nan"), {"--minutes: 'nan'"}, 2},
        BadFlag{"MinutesZero", train("--minutes", "0"), {"--minutes is 0"}},
        BadFlag{"VocabularyThree", train("--vocabulary", "3"), {"--vocabulary is 3"}},
        BadFlag{"CheckpointEveryBelowZero", train("--checkpoint-every", "-1"), {"--checkpoint-every is -1"}},
        BadFlag{"SampleEveryBelowZero", train("--sample-every", "-5"), {"--sample-every is -5"}},
        BadFlag{"ValidationLongerThanTheText", train("--validation-bytes", "5000"), {"5000", "validation"}},
        BadFlag{"VersionOfTheProgram",
                train("--version", "rwkv4"),
                {"no option \"--version\"", "did you mean --model-version"},
                2},
        BadFlag{"UnknownVersion", train("--model-version", "rwkv99"), {"rwkv99", "rwkv7"}},
        BadFlag{"UnknownRecipe", train("--recipe", "cake"), {"cake"}},
        BadFlag{"OptionOfAnotherVersion",
                Arguments{"train", "text.txt", "--out", "run2", "--pre-ffn"},
                {"rwkv7", "pre_ffn"}},
        BadFlag{"DropoutAtNoPlace", train("--dropout-at", "att,head"), {"--dropout-at", "head", "after_ffn"}},
        BadFlag{"UnknownVariant", train("--variant", "r9"), {"rwkv7", "r9"}},
        BadFlag{"TokenShiftOfLetters", train("--token-shift", "far"), {"token_shift", "far"}},
        BadFlag{"LearningRateScaleOfNothing", train("--learning-rate-scale", "none=2"), {"none", "inspect"}},
        BadFlag{"LearningRateScaleWithoutFactor", train("--learning-rate-scale", "emb"), {"emb", "factor"}},
        BadFlag{"ChangeWithoutValue", train("--change", "0.5:beta2"), {"--change 0.5:beta2", "a share"}},
        BadFlag{
            "ChangeOfWhatStays", train("--change", "0.5:layers=3"), {"--change 0.5:layers", "cannot change"}},
        BadFlag{"MomentumWithoutMuon", train("--momentum", "0.9"), {"--momentum", "--optimizer is adamw"}},
        BadFlag{"WarmUpLongerThanTheRun",
                {"train", "text.txt", "--out", "run2", "--steps", "3", "--warmup", "100"},
                {"--warmup is 100", "3 steps"}},
        BadFlag{
            "DropoutPlacesWithoutDropout", train("--dropout-at", "att"), {"--dropout-at", "--dropout is 0"}},
        BadFlag{
            "LastLearningRateOfAConstantOne",
            {"train", "text.txt", "--out", "run2", "--schedule", "constant", "--final-learning-rate", "1e-4"},
            {"--final-learning-rate", "constant"}},
        BadFlag{"ContextLongerThanTheText",
                {"train", "text.txt", "--out", "run2", "--tokenizer", "bytes", "--context", "4000"},
                {"--context is 4000", "tokens"}},
        BadFlag{"VocabularySizeOfAFixedTokenizer",
                {"train", "text.txt", "--out", "run2", "--tokenizer", "bytes", "--vocabulary", "500"},
                {"--vocabulary is 500", "256"}},
        BadFlag{"UnknownSchedule", train("--schedule", "square"), {"square", "cosine"}},
        BadFlag{"MissingVocabulary", train("--tokenizer", "none.txt"), {"none.txt", "No such file"}},
        BadFlag{"TextAsVocabulary", train("--tokenizer", "text.txt"), {"text.txt"}},
        BadFlag{"NoText", {"train"}, {"book.txt", "--resume"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    OfUse, BadFlags,
    testing::Values(
        BadFlag{
            "TemperatureBelowZero", generate("--temperature", "-1"), {"--temperature: -1", "0 or more"}, 2},
        BadFlag{"TemperatureNan", generate("--temperature", "nan"), {"--temperature: 'nan'"}, 2},
        BadFlag{"TopPZero", generate("--top-p", "0"), {"--top-p: 0", "above 0"}, 2},
        BadFlag{"TopPTwo", generate("--top-p", "2"), {"--top-p: 2"}, 2},
        BadFlag{"TopPNan", generate("--top-p", "nan"), {"--top-p: 'nan'"}, 2},
        BadFlag{"TopKBelowZero", generate("--top-k", "-5"), {"--top-k: -5"}, 2},
        BadFlag{
            "PenaltyOfThousands", generate("--presence-penalty", "5000"), {"--presence-penalty: 5000"}, 2},
        BadFlag{"DecayOfNothing",
                generate("--penalty-decay", "0.9"),
                {"--penalty-decay", "--frequency-penalty"},
                2},
        BadFlag{"ExemptFromNothing", generate("--exempt", "10"), {"--exempt", "--frequency-penalty"}, 2},
        BadFlag{"BanOfSeveralTokens",
                generate("--ban", "the"),
                {"--ban: \"the\" is 3 tokens (116, 104, 101)", "tokenize"}},
        BadFlag{"BanOfNoToken", generate("--ban", "256"), {"--ban: there is no token 256", "0 to 255"}},
        BadFlag{"BiasWithoutANumber", generate("--bias", "33"), {"--bias: \"33\"", "33=-2.5"}},
        BadFlag{"BiasNan", generate("--bias", "33=nan"), {"--bias: \"33=nan\""}},
        BadFlag{"StopWithAnEscapeThatIsNone",
                {"generate", "run", "--escape", "--stop", "\\d"},
                {"--stop", "\\d", "\\xHH"}},
        BadFlag{"LogitsOfTokensThatAreNone", {"logits", "run", "--tokens", "1,x"}, {"--tokens: 'x'"}, 2},
        BadFlag{"GoldenBesideAModel", {"verify", "run", "--golden", "."}, {"--golden", "model"}},
        BadFlag{"TokensBelowZero", generate("--tokens", "-3"), {"--tokens", "-3"}, 2},
        BadFlag{"SeedOfLetters", generate("--seed", "abc"), {"--seed", "abc"}, 2},
        BadFlag{"StopOfHalfACharacter", generate("--stop", "\xc3"), {"--stop", "UTF-8"}},
        BadFlag{"TokenBeyondTheVocabulary", {"logits", "run", "--tokens", "999"}, {"999", "256"}},
        BadFlag{"TokenBelowZero", {"logits", "run", "--tokens=-1"}, {"-1", "256"}},
        BadFlag{"NoTokens", {"logits", "run"}, {"--tokens", "--prompt"}},
        BadFlag{"RawIntoNoFolder", {"logits", "run", "--tokens", "1", "--raw", "no/file"}, {"no/file"}},
        BadFlag{"VerifyLengthZero", {"verify", "run", "--length", "0"}, {"--length", "0"}, 2},
        BadFlag{"GoldenOfNothing", {"verify", "--golden", "nowhere"}, {"nowhere"}}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    OfTheProgram, BadFlags,
    testing::Values(
        BadFlag{"NoThreads", {"train", "text.txt", "--threads", "0"}, {"--threads: 0", "1 to 1024"}, 2},
        BadFlag{"TooManyThreads",
                {"train", "text.txt", "--threads", "100000"},
                {"--threads: 100000", "1 to 1024"},
                2},
        BadFlag{"ThreadsBeyondAllNumbers",
                {"train", "text.txt", "--threads", "99999999999999999999"},
                {"--threads: '99999999999999999999'"},
                2},
        BadFlag{"UnknownCommand", {"fly"}, {"no command \"fly\"", "--help"}, 2},
        BadFlag{"MistypedCommand", {"trian", "text.txt"}, {"no command \"trian\"; did you mean train?"}, 2},
        BadFlag{"AbbreviatedCommand", {"eval", "run", "text.txt"}, {"did you mean evaluate?"}, 2},
        BadFlag{"MistypedCommandOfACommand",
                {"vocab", "tain", "text.txt"},
                {"aviary vocab: there is no command \"tain\"; did you mean train?"},
                2},
        BadFlag{"MistypedOption",
                {"generate", "run", "--temprature=0.5"},
                {"no option \"--temprature\"; did you mean --temperature?"},
                2},
        BadFlag{"OptionWithOneDash",
                {"generate", "run", "-top-k", "4"},
                {"\"-top-k\"; did you mean --top-k?"},
                2},
        BadFlag{
            "OptionWithoutItsValue", {"generate", "run", "--seed"}, {"generate: --seed needs a value"}, 2},
        BadFlag{"OptionGivenTwice",
                {"generate", "run", "--seed", "1", "--seed", "2"},
                {"--seed is given more than once"},
                2},
        BadFlag{"MistypedOptionOfTheProgram",
                {"inspect", "run", "--thread", "2"},
                {"did you mean --threads?"},
                2},
        BadFlag{"VersionsBesideAModel", {"inspect", "text.txt", "--versions"}, {"--versions", "model"}},
        BadFlag{"TwoFormsOfVersions",
                {"inspect", "--versions", "--markdown", "--json"},
                {"--markdown", "--json"}},
        BadFlag{"RandomModelBesideAModel",
                {"bench", "text.txt", "--random", "rwkv7:2x64"},
                {"--random", "model"}},
        BadFlag{"TypeOfNoRandomModel", {"bench", "text.txt", "--type", "q8_0"}, {"--type", "--random"}, 2},
        BadFlag{"AdapterOfRandomWeights",
                {"bench", "--random", "rwkv7:2x64", "--adapter", "a.pth"},
                {"--random", "--adapter"}},
        BadFlag{"AdapterOfReferenceData",
                {"verify", "--golden", "folder", "--adapter", "a.pth"},
                {"--golden", "--adapter"}},
        BadFlag{"ForceOfNothing", {"evaluate", "run", "text.txt", "--force"}, {"--force", "--tokenizer"}, 2},
        BadFlag{"BatchesOfTheMachine", {"bench", "--machine", "--batches", "4"}, {"--machine", "--batches"}},
        BadFlag{
            "PlotsOfNothing", {"bench", "--random", "rwkv7:2x64", "--plots", "p"}, {"--plots", "--long"}, 2},
        BadFlag{"RoundsOfALongRun",
                {"bench", "--random", "rwkv7:2x64", "--long", "100", "--rounds", "3"},
                {"--long", "--rounds"}},
        BadFlag{
            "SecondsNan", {"bench", "--random", "rwkv7:2x64", "--seconds", "nan"}, {"--seconds: 'nan'"}, 2},
        BadFlag{"VocabularyBesideATokenizer",
                {"compare", "text.txt", "--tokenizer", "bytes", "--vocabulary", "500"},
                {"--vocabulary", "--tokenizer"}},
        BadFlag{"NoCommand", {}, {"--help"}, 2},
        BadFlag{"UnknownFlag", {"train", "text.txt", "--fly"}, {"--fly", "train --help"}, 2},
        BadFlag{"UnknownFlagWithAValue",
                {"inspect", "--format", "json", "run"},
                {"no option \"--format\"", "inspect --help"},
                2},
        BadFlag{"UnknownFlagOfASubcommand",
                {"vocab", "train", "text.txt", "--out", "v.txt", "--fly"},
                {"aviary vocab train: there is no option \"--fly\"", "vocab train --help"},
                2},
        BadFlag{"MissingFlagOfASubcommand",
                {"vocab", "train", "text.txt"},
                {"aviary vocab train: --out is required"},
                2},
        BadFlag{"TwoTexts",
                {"train", "text.txt", "more.txt"},
                {"learns from one text, but 2 are named", "join them"}},
        BadFlag{"UnknownInstructions", {"--isa", "mmx", "train", "text.txt"}, {"mmx"}, 2},
        BadFlag{"StepsAndMinutes",
                {"train", "text.txt", "--steps", "3", "--minutes", "1"},
                {"--minutes and --steps cannot be given together"},
                2}),
    name_of);

TEST(BadPlace, AFileInsteadOfARunFolderIsRejected) {
  const TestFolder folder;
  write(folder / "text.txt", prose(4000));
  write(folder / "run", "mine");
  const auto before = files_below(folder.path());
  expect_refusal(run(folder.path(), Arguments{"train", "text.txt", "--out", "run", "--steps", "2"} + tiny),
                 {"run"});
  expect_refusal(
      run(folder.path(), Arguments{"train", "text.txt", "--out", "run/below", "--steps", "2"} + tiny),
      {"run/below"});
  EXPECT_EQ(files_below(folder.path()), before);
}

TEST(BadPlace, UnrelatedFilesAreNotOverwritten) {
  for (const char* name :
       {"config.json", "model.safetensors", "checkpoint.safetensors", "log.jsonl", "loss.svg"}) {
    const TestFolder folder;
    write(folder / "text.txt", prose(4000));
    write(folder / name, "{\"mine\": true}");
    const auto before = files_below(folder.path());
    expect_refusal(run(folder.path(), Arguments{"train", "text.txt", "--out", ".", "--steps", "2"} + tiny),
                   {"--out"});
    EXPECT_EQ(files_below(folder.path()), before);
  }
}

TEST(BadPlace, AFinishedRunIsNotOverwritten) {
  const TestFolder folder;
  train_tiny(folder.path(), 1);
  const auto before = files_below(folder.path());
  expect_refusal(run(folder.path(), Arguments{"train", "text.txt", "--out", "run", "--steps", "2"} + tiny),
                 {"run", "--resume", "--out"});
  fs::remove(folder / "run/checkpoint.safetensors");  // a copy of only the model file keeps it
  expect_refusal(run(folder.path(), Arguments{"train", "text.txt", "--out", "run", "--steps", "2"} + tiny),
                 {"--out"});
  EXPECT_EQ(read(folder / "run/model.safetensors"), before.at("run/model.safetensors"));
}

TEST(BadPlace, GenerateWithoutAnyModelSaysHowToGetOne) {
  const TestFolder folder;
  expect_refusal(run(folder.path(), {"generate"}), {"aviary train"});
  expect_refusal(run(folder.path(), {"generate", "nowhere"}), {"nowhere", "No such file"});
  expect_refusal(run(folder.path(), {"generate", "."}), {"model.safetensors"});
}

TEST(BadPlace, TextThatCannotBeEvaluatedIsRejected) {
  const TestFolder folder;
  train_tiny(folder.path(), 1);
  write(folder / "empty.txt", "");
  write(folder / "one.txt", "a");
  expect_refusal(run(folder.path(), {"evaluate", "run", "nowhere.txt"}), {"nowhere.txt", "No such file"});
  expect_refusal(run(folder.path(), {"evaluate", "run", "empty.txt"}), {"empty.txt", "empty"});
  expect_refusal(run(folder.path(), {"evaluate", "run", "one.txt"}), {"at least 2"});
  expect_refusal(run(folder.path(), {"evaluate", "run", "run"}), {"run", "folder"});
}

}  // namespace
}  // namespace aviary::program
