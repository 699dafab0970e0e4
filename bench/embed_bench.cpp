// Accuracy of classifiers on vectors of models, beside bag of words and TF-IDF of characters, and with
// --pairs how often a text is found by a short description of it, beside BM25; as docs/embeddings.md shows
// both. Data: bench/embed_data.sh.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <Eigen/SparseCore>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/threads.h"
#include "checkpoints/open_model.h"
#include "data/text_file.h"
#include "embed/classifier.h"
#include "embed/embedder.h"
#include "embed/minimize.h"

namespace aviary {
namespace {

using Vectors = std::vector<std::vector<float>>;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- Data

struct DataSet {
  std::string name;
  std::vector<std::string> texts, labels;  // labels: the names
  std::vector<int32_t> y;
  std::vector<int64_t> group;
  int64_t groups = 0;
};

// Calls take(row) for each line of a file of JSON.
template <typename Take>
void for_rows(const std::string& path, Take take) {
  const InputFile file(path);
  for (std::string_view rest = file.bytes(); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    take(parse_json(line, path));
  }
}

DataSet read_data_set(const std::string& path) {
  DataSet data;
  data.name = std::filesystem::path(path).stem().string();
  std::map<std::string, int32_t> labels;
  std::map<std::string, int64_t> groups;
  for_rows(path, [&](const nlohmann::json& row) {
    data.texts.push_back(row.at("text"));
    const auto label = labels.emplace(row.at("label"), static_cast<int32_t>(labels.size()));
    if (label.second) data.labels.push_back(label.first->first);
    data.y.push_back(label.first->second);
    data.group.push_back(groups.emplace(row.at("group"), static_cast<int64_t>(groups.size())).first->second);
  });
  data.groups = std::ssize(groups);
  return data;
}

struct Split {
  std::vector<size_t> train, test;
};
// 70 % of the groups to train on.
Split split_of(const DataSet& data, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(data.groups));
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  std::vector<bool> trains(order.size());
  for (size_t i = 0; i < order.size() * 7 / 10; ++i) trains[static_cast<size_t>(order[i])] = true;
  Split split;
  for (size_t i = 0; i < data.texts.size(); ++i)
    (trains[static_cast<size_t>(data.group[i])] ? split.train : split.test).push_back(i);
  return split;
}

// ---- Results

struct Result {
  std::vector<double> accuracies;
  double mean() const {
    return std::accumulate(accuracies.begin(), accuracies.end(), 0.0) /
           static_cast<double>(accuracies.size());
  }
  // Half of the 95 % interval of the mean, by Student's t for 5 values.
  double interval() const {
    constexpr double t = 2.776;
    double squares = 0;
    for (const double a : accuracies) squares += (a - mean()) * (a - mean());
    const auto n = static_cast<double>(accuracies.size());
    return n > 1 ? t * std::sqrt(squares / (n - 1) / n) : 0;
  }
};

void print_row(const std::string& model, const std::string& vector, int64_t numbers, const DataSet& data,
               const Result& result, double milliseconds) {
  fmt::print("| {} | {} | {} | {} | {:.1f} ± {:.1f} | {} | {:.2f} |\n", data.name, model, vector, numbers,
             100 * result.mean(), 100 * result.interval(), 4 * numbers, milliseconds);
  std::fflush(stdout);
}

// ---- Vectors of a model

double accuracy_of(const Vectors& vectors, const DataSet& data, const Split& split, Scaling scaling) {
  LabeledVectors train;
  for (const size_t i : split.train) {
    train.vectors.push_back(vectors[i]);
    train.labels.push_back(data.y[i]);
  }
  const Classifier classifier = train_classifier(train, data.labels, {.scaling = scaling, .folds = 3});
  int64_t right = 0;
  for (const size_t i : split.test) {
    const std::vector<double> p = classifier.probabilities(vectors[i]);
    right += std::ranges::max_element(p) - p.begin() == data.y[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(split.test.size());
}

// The label of the training text with the largest cosine, after scaling.
double nearest_accuracy(const Vectors& vectors, const DataSet& data, const Split& split, Scaling scaling) {
  Vectors of_train;
  for (const size_t i : split.train) of_train.push_back(vectors[i]);
  const Statistics statistics = collect_statistics(of_train, scaling == Scaling::whitened);
  auto unit = [&](size_t i) {
    std::vector<float> v = statistics.scaled(vectors[i], scaling);
    shorten(v, 0, true);
    return v;
  };
  DenseRows train(std::ssize(split.train), statistics.width(scaling));
  for (size_t i = 0; i < split.train.size(); ++i)
    train.row(static_cast<Eigen::Index>(i)) =
        Eigen::Map<const Eigen::RowVectorXf>(unit(split.train[i]).data(), train.cols());
  int64_t right = 0;
  for (const size_t i : split.test) {
    Eigen::Index best = 0;
    (train * Eigen::Map<const Eigen::VectorXf>(unit(i).data(), train.cols())).maxCoeff(&best);
    right += data.y[split.train[static_cast<size_t>(best)]] == data.y[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(split.test.size());
}

// The vectors of the chosen of several layers, from those of all.
Vectors slice(const Vectors& all, const std::vector<int64_t>& chosen, size_t width) {
  Vectors vectors;
  for (const std::vector<float>& whole : all) {
    std::vector<float>& vector = vectors.emplace_back();
    for (const int64_t at : chosen) {
      const auto begin = whole.begin() + static_cast<int64_t>(width) * at;
      vector.insert(vector.end(), begin, begin + static_cast<int64_t>(width));
    }
  }
  return vectors;
}

struct BenchOptions {
  std::vector<std::string> data, models;
  std::string pairs;
  std::vector<std::string> features = {"mean", "last", "state-vectors", "state-norms", "state-projection"};
  int64_t seeds = 5;
  bool all = false, baselines = true, scalings = true;
};

class ModelBench {
 public:
  ModelBench(std::string name, Model& model, const Checkpoint& checkpoint, const BenchOptions& options)
      : name_(std::move(name)), model_(model), checkpoint_(checkpoint), options_(options) {}

  void run(const DataSet& data) {
    const int64_t L = model_.config().n_layer;
    const auto alone = [&](bool all) { return all ? each(0, L + 1) : std::vector<std::vector<int64_t>>{}; };
    for (const std::string& name : options_.features) {
      const Feature feature = feature_named(name);
      try {
        if (feature == Feature::last)
          rows(feature, data, {{L}, {L + 1}}, options_.all);
        else
          rows(feature, data, alone(feature == Feature::mean && options_.all), true);
      } catch (const Error&) {  // the version has no such state
      }
    }
  }

 private:
  static std::vector<std::vector<int64_t>> each(int64_t first, int64_t last) {
    std::vector<std::vector<int64_t>> layers;
    for (int64_t i = first; i <= last; ++i) layers.push_back({i});
    return layers;
  }

  // Reads the texts once for all layers, then measures the chosen ones, and several together.
  void rows(Feature feature, const DataSet& data, std::vector<std::vector<int64_t>> chosen, bool uniform) {
    const int64_t L = model_.config().n_layer;
    const bool of_rows = feature == Feature::mean || feature == Feature::last;
    const int64_t first = of_rows ? 0 : 1, last = of_rows ? L + 1 : L;
    std::vector<int64_t> layers;
    for (int64_t i = first; i <= last; ++i) layers.push_back(i);
    Embedder embedder(
        model_, *checkpoint_.tokenizer,
        {.feature = feature, .layers = layers, .unit_length = false, .begin_token = checkpoint_.begin_token});
    const double begin = seconds();
    const Vectors all = embedder.embed(data.texts);
    const double time = 1000 * (seconds() - begin) / static_cast<double>(data.texts.size());
    const auto width = static_cast<size_t>(embedder.dimensions()) / layers.size();
    if (feature == Feature::mean) chosen.insert(chosen.end(), {{(L + 1) / 2}, {L}, {L + 1}});
    if (uniform) chosen.push_back({std::max<int64_t>(L / 3, 1), std::max<int64_t>(2 * L / 3, 1), L});
    for (const std::vector<int64_t>& some : chosen) {
      std::vector<int64_t> places;
      for (const int64_t layer : some) places.push_back(layer - first);
      measure(fmt::format("{} {}", name_of(feature), fmt::join(some, ",")), slice(all, places, width), data,
              time, options_.scalings && feature == Feature::mean && some.size() > 1);
    }
  }

  void measure(const std::string& title, const Vectors& vectors, const DataSet& data, double time,
               bool more) {
    auto row = [&](Scaling scaling, bool nearest) {
      Result result;
      for (int64_t seed = 1; seed <= options_.seeds; ++seed) {
        const Split split = split_of(data, static_cast<uint64_t>(seed));
        result.accuracies.push_back(nearest ? nearest_accuracy(vectors, data, split, scaling)
                                            : accuracy_of(vectors, data, split, scaling));
      }
      print_row(name_, fmt::format("{}, {}{}", title, name_of(scaling), nearest ? ", nearest" : ""),
                std::ssize(vectors[0]), data, result, time);
    };
    row(Scaling::z_score, false);
    if (!more) return;
    row(Scaling::whitened, false);
    for (const Scaling scaling : {Scaling::raw, Scaling::z_score, Scaling::whitened}) row(scaling, true);
  }

  std::string name_;
  Model& model_;
  const Checkpoint& checkpoint_;
  const BenchOptions& options_;
};

// ---- Baselines without a model

using Terms = std::vector<std::string>;

Terms words_of(const std::string& text) {
  Terms words;
  std::string word;
  for (const char c : text + " ") {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || byte >= 128 || c == '\'') {
      word += static_cast<char>(std::tolower(byte));
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

// All pieces of 3 to 5 bytes of the text in small letters, with one space before and after.
Terms pieces_of(const std::string& text) {
  std::string small = " ";
  for (const std::string& word : words_of(text)) small += word + " ";
  Terms pieces;
  for (size_t length = 3; length <= 5; ++length)
    for (size_t at = 0; at + length <= small.size(); ++at) pieces.push_back(small.substr(at, length));
  return pieces;
}

using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor>;

// Counts of the terms of two training texts or more; with `weighted`, (1 + log count) log(N / texts with the
// term). Every row has length 1.
class TermRows {
 public:
  TermRows(const std::vector<Terms>& texts, const std::vector<size_t>& train, bool weighted)
      : texts_(texts), weighted_(weighted) {
    std::map<std::string, int64_t> frequency;
    for (const size_t i : train)
      for (const std::string& term : std::set<std::string>(texts[i].begin(), texts[i].end()))
        ++frequency[term];
    for (const auto& [term, count] : frequency)
      if (count >= 2) {
        columns_.emplace(term, std::ssize(columns_));
        rarity_.push_back(std::log(static_cast<double>(train.size()) / static_cast<double>(count)) + 1);
      }
  }

  int64_t width() const { return std::ssize(columns_); }
  Sparse rows(const std::vector<size_t>& chosen) const {
    std::vector<Eigen::Triplet<float>> entries;
    for (size_t row = 0; row < chosen.size(); ++row) {
      std::map<int64_t, double> counts;
      for (const std::string& term : texts_[chosen[row]])
        if (const auto found = columns_.find(term); found != columns_.end()) ++counts[found->second];
      double squares = 0;
      for (auto& [column, count] : counts) {
        if (weighted_) count = (1 + std::log(count)) * rarity_[static_cast<size_t>(column)];
        squares += count * count;
      }
      for (const auto& [column, count] : counts)
        entries.emplace_back(static_cast<int>(row), static_cast<int>(column),
                             static_cast<float>(count / std::sqrt(squares)));
    }
    Sparse rows(std::ssize(chosen), width());
    rows.setFromTriplets(entries.begin(), entries.end());
    return rows;
  }

 private:
  const std::vector<Terms>& texts_;
  bool weighted_;
  std::map<std::string, int64_t> columns_;
  std::vector<double> rarity_;
};

// Rows of length 1 with many columns need weaker penalties than vectors of a model.
constexpr double weak_penalties[] = {1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5};

std::vector<double> sparse_accuracies(const TermRows& terms, const DataSet& data,
                                      const std::vector<size_t>& train, const std::vector<size_t>& test,
                                      std::span<const double> tried) {
  std::vector<int32_t> y;
  for (const size_t i : train) y.push_back(data.y[i]);
  const Sparse x = terms.rows(train), x_test = terms.rows(test);
  const auto K = std::ssize(data.labels), D = terms.width();
  LogisticLoss<Sparse> loss(x, y, K);
  Eigen::VectorXd at = Eigen::VectorXd::Zero(loss.size());
  std::vector<double> accuracies;
  for (const double penalty : tried) {
    loss.minimize(penalty, at);
    const DenseRows weights =
        Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(at.data(), D, K).cast<float>();
    DenseRows scores = x_test * weights;
    scores.rowwise() += at.tail(K).transpose().cast<float>();
    int64_t right = 0;
    for (size_t i = 0; i < test.size(); ++i) {
      Eigen::Index best = 0;
      scores.row(static_cast<Eigen::Index>(i)).maxCoeff(&best);
      right += best == data.y[test[i]] ? 1 : 0;
    }
    accuracies.push_back(static_cast<double>(right) / static_cast<double>(test.size()));
  }
  return accuracies;
}

// The penalty is the best on a fifth of the training texts.
double baseline_accuracy(const std::vector<Terms>& texts, const DataSet& data, const Split& split,
                         bool weighted, int64_t& width) {
  std::vector<size_t> most, fifth;
  for (size_t i = 0; i < split.train.size(); ++i) (i % 5 == 0 ? fifth : most).push_back(split.train[i]);
  const std::vector<double> tried =
      sparse_accuracies(TermRows(texts, most, weighted), data, most, fifth, weak_penalties);
  const auto best = std::ranges::max_element(tried) - tried.begin();
  const TermRows terms(texts, split.train, weighted);
  width = terms.width();
  return sparse_accuracies(terms, data, split.train, split.test, {weak_penalties + best, 1})[0];
}

void run_baselines(const DataSet& data, int64_t seeds) {
  for (const bool weighted : {false, true}) {
    const double begin = seconds();
    std::vector<Terms> texts;
    for (const std::string& text : data.texts) texts.push_back(weighted ? pieces_of(text) : words_of(text));
    const double time = 1000 * (seconds() - begin) / static_cast<double>(data.texts.size());
    Result result;
    result.accuracies.resize(static_cast<size_t>(seeds));
    std::vector<int64_t> widths(static_cast<size_t>(seeds));
    parallel_for(seeds, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const auto at = static_cast<size_t>(i);
        result.accuracies[at] = baseline_accuracy(texts, data, split_of(data, static_cast<uint64_t>(i) + 1),
                                                  weighted, widths[at]);
      }
    });
    print_row("-", weighted ? "TF-IDF of characters, 3 to 5" : "bag of words", widths[0], data, result, time);
  }
}

// ---- Finding a text by a short description of it

struct Pairs {
  std::vector<std::string> queries, texts;  // text i belongs to query i
};

Pairs read_pairs(const std::string& path) {
  Pairs pairs;
  for_rows(path, [&](const nlohmann::json& row) {
    pairs.queries.push_back(row.at("query"));
    pairs.texts.push_back(row.at("text"));
  });
  return pairs;
}

// scores [queries, texts]. Of texts with the same score, the right one counts as the last.
void print_found(const std::string& model, const std::string& vector, const Eigen::MatrixXf& scores) {
  double reciprocal = 0, found = 0;
  for (Eigen::Index i = 0; i < scores.rows(); ++i) {
    const auto rank = (scores.row(i).array() >= scores(i, i)).count();
    if (rank > 10) continue;
    reciprocal += 1 / static_cast<double>(rank);
    found += 1;
  }
  const auto n = static_cast<double>(scores.rows());
  fmt::print("| {} | {} | {:.3f} | {:.1f} % |\n", model, vector, reciprocal / n, 100 * found / n);
  std::fflush(stdout);
}

// Okapi BM25 with k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009, doi:10.1561/1500000019).
Eigen::MatrixXf bm25_scores(const Pairs& pairs) {
  constexpr double k1 = 1.2, b = 0.75;
  const auto n = std::ssize(pairs.texts);
  std::map<std::string, std::vector<std::pair<Eigen::Index, double>>> places;  // of a word: texts with counts
  std::vector<double> lengths;
  for (Eigen::Index i = 0; i < n; ++i) {
    std::map<std::string, double> counts;
    const Terms words = words_of(pairs.texts[static_cast<size_t>(i)]);
    for (const std::string& word : words) ++counts[word];
    for (const auto& [word, count] : counts) places[word].emplace_back(i, count);
    lengths.push_back(static_cast<double>(words.size()));
  }
  const double mean = std::accumulate(lengths.begin(), lengths.end(), 0.0) / static_cast<double>(n);
  Eigen::MatrixXf scores = Eigen::MatrixXf::Zero(n, n);
  for (Eigen::Index query = 0; query < n; ++query)
    for (const std::string& word : words_of(pairs.queries[static_cast<size_t>(query)])) {
      const auto found = places.find(word);
      if (found == places.end()) continue;
      const auto with = static_cast<double>(found->second.size());
      const double rarity = std::log(1 + (static_cast<double>(n) - with + 0.5) / (with + 0.5));
      for (const auto& [text, count] : found->second)
        scores(query, text) +=
            static_cast<float>(rarity * count * (k1 + 1) /
                               (count + k1 * (1 - b + b * lengths[static_cast<size_t>(text)] / mean)));
    }
  return scores;
}

// Cosines of vectors scaled by the statistics of the texts.
Eigen::MatrixXf cosines(const Vectors& queries, const Vectors& texts, Scaling scaling) {
  const Statistics statistics = collect_statistics(texts, scaling == Scaling::whitened);
  auto rows_of = [&](const Vectors& vectors) {
    DenseRows rows(std::ssize(vectors), statistics.width(scaling));
    for (size_t i = 0; i < vectors.size(); ++i) {
      std::vector<float> v = statistics.scaled(vectors[i], scaling);
      shorten(v, 0, true);
      rows.row(static_cast<Eigen::Index>(i)) = Eigen::Map<const Eigen::RowVectorXf>(v.data(), rows.cols());
    }
    return rows;
  };
  return rows_of(queries) * rows_of(texts).transpose();
}

void run_pairs(const std::string& name, Model& model, const Checkpoint& checkpoint, const Pairs& pairs) {
  const int64_t L = model.config().n_layer;
  for (const std::vector<int64_t>& layers :
       {std::vector<int64_t>{std::max<int64_t>(L / 3, 1), std::max<int64_t>(2 * L / 3, 1), L},
        std::vector<int64_t>{0}, std::vector<int64_t>{L + 1}}) {
    Embedder embedder(model, *checkpoint.tokenizer,
                      {.layers = layers, .unit_length = false, .begin_token = checkpoint.begin_token});
    const Vectors queries = embedder.embed(pairs.queries), texts = embedder.embed(pairs.texts);
    for (const Scaling scaling : {Scaling::raw, Scaling::z_score, Scaling::whitened})
      print_found(name, fmt::format("mean {}, {}", fmt::join(layers, ","), name_of(scaling)),
                  cosines(queries, texts, scaling));
  }
}

void run(const BenchOptions& options) {
  Pairs pairs;
  if (!options.pairs.empty()) {
    pairs = read_pairs(options.pairs);
    fmt::print("| model | vector | MRR@10 | among the first 10 |\n|---|---|---|---|\n");
    print_found("-", "BM25", bm25_scores(pairs));
  } else {
    fmt::print(
        "| data | model | vector | numbers | accuracy % | bytes | ms per text "
        "|\n|---|---|---|---|---|---|---|\n");
  }
  std::vector<DataSet> sets;
  for (const std::string& path : options.data) sets.push_back(read_data_set(path));
  if (options.baselines)
    for (const DataSet& data : sets) run_baselines(data, options.seeds);
  for (std::string path : options.models) {
    const bool random = path.starts_with("random:");
    if (random) path.erase(0, path.find(':') + 1);
    const Checkpoint checkpoint = open_model(path);
    require(checkpoint.tokenizer != nullptr, "{}: it has no tokenizer", path);
    std::unique_ptr<Model> floor;
    if (random) {
      floor = create_model(checkpoint.model->config());
      floor->parameters().initialize(1);
    }
    const std::string name =
        fmt::format("{}{} {}x{}", random ? "random " : "", checkpoint.model->config().version,
                    checkpoint.model->config().n_layer, checkpoint.model->config().n_embd);
    if (!options.pairs.empty()) run_pairs(name, random ? *floor : *checkpoint.model, checkpoint, pairs);
    ModelBench bench(name, random ? *floor : *checkpoint.model, checkpoint, options);
    for (const DataSet& data : sets) bench.run(data);
  }
}

}  // namespace
}  // namespace aviary

int main(int argc, char** argv) {
  CLI::App app("Accuracy of classifiers on vectors of models; a table in Markdown");
  aviary::BenchOptions options;
  CLI::Option* data = app.add_option("data", options.data, "Files of bench/embed_data.sh");
  app.add_option("--pairs", options.pairs,
                 "Rows with a query and its text: how often it is found, instead of accuracies")
      ->excludes(data);
  app.add_option("--model", options.models, "A model; random:MODEL is one of its shape as before training");
  app.add_option("--seeds", options.seeds, "Splits into 70 % to train on and 30 % to test");
  app.add_option("--features", options.features, "The features that are measured")->delimiter(',');
  app.add_flag("!--no-scalings", options.scalings, "Leave out whitened vectors and the nearest text");
  app.add_flag("--all", options.all, "Also each layer by itself");
  app.add_flag("!--no-baselines", options.baselines, "Leave out what needs no model");
  CLI11_PARSE(app, argc, argv);
  try {
    aviary::run(options);
  } catch (const aviary::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
