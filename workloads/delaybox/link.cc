// SPDX-License-Identifier: Apache-2.0
#include "delaybox/link.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/errors.h"

namespace stackrig::delaybox {
namespace {

using runtime::UsageError;

constexpr double kQueueSeconds = 0.05;

struct Word {
  const std::string& option;
  std::string key, value;
  [[noreturn]] void refuse(const std::string& wanted) const {
    throw UsageError(option + ": " + key + "=" + value + " cannot be; give " + wanted);
  }
};

/// A number and the unit behind it.
std::optional<std::pair<double, std::string_view>> measure(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value < 0) return std::nullopt;
  return std::pair{value, text.substr(static_cast<std::size_t>(end - text.data()))};
}

std::optional<Time> time_of(std::string_view text) {
  const auto found = measure(text);
  if (!found) return std::nullopt;
  const auto& [value, unit] = *found;
  const double scale = unit == "ns" ? 1 : unit == "us" ? 1e3 : unit == "ms" ? 1e6 : 1e9;
  const bool known = unit == "ns" || unit == "us" || unit == "ms" || unit == "s";
  if (!known || value * scale > static_cast<double>(kLongestDelay)) return std::nullopt;
  return static_cast<Time>(std::llround(value * scale));
}

Time delay(const Word& w, std::string_view text) {
  const auto found = time_of(text);
  if (!found) w.refuse("a time of up to 10 s with its unit, as in 10ms or 250us");
  return *found;
}

double probability(const Word& w) {
  const auto found = measure(w.value);
  const double scale = found && found->second == "%" ? 0.01 : 1;
  const bool known = found && (found->second == "%" || found->second.empty());
  if (!known || found->first * scale > 1) w.refuse("a share, as in 1% or 0.01");
  return found->first * scale;
}

std::uint64_t amount(const Word& w, const char* wanted) {
  const auto found = measure(w.value);
  const std::string_view unit = found ? found->second : "?";
  const double scale = unit.empty() ? 1 : unit == "k" ? 1e3 : unit == "M" ? 1e6 : 1e9;
  const bool known = unit.empty() || unit == "k" || unit == "M" || unit == "G";
  if (!found || !known || found->first * scale > 1e15) w.refuse(wanted);
  return static_cast<std::uint64_t>(std::llround(found->first * scale));
}

void read_bands(const Word& w, LinkConfig& link) {
  constexpr const char* kForm = "FROM-TO/BANDS, as in 10ms-40ms/16, with 2 to 1024 bands";
  const auto dash = w.value.find('-');
  const auto slash = w.value.find('/');
  if (dash == std::string::npos || slash == std::string::npos || slash < dash) w.refuse(kForm);
  const std::string_view text = w.value;
  link.delay_from = delay(w, text.substr(0, dash));
  link.delay_to = delay(w, text.substr(dash + 1, slash - dash - 1));
  const auto count = text.substr(slash + 1);
  const auto read = std::from_chars(count.data(), count.data() + count.size(), link.bands);
  const bool whole = read.ec == std::errc{} && read.ptr == count.data() + count.size();
  if (!whole || link.bands < 2 || link.bands > kMaxBands || link.delay_to <= link.delay_from) {
    w.refuse(kForm);
  }
}

using Reader = void (*)(const Word&, LinkConfig&);

const std::array<std::pair<const char*, Reader>, 7> kWords = {{
    {"delay", [](const Word& w, LinkConfig& l) { l.delay_from = l.delay_to = delay(w, w.value); }},
    {"bands", read_bands},
    {"loss", [](const Word& w, LinkConfig& l) { l.loss = probability(w); }},
    {"rate",
     [](const Word& w, LinkConfig& l) { l.rate = amount(w, "bits per second, as in 100M or 1G"); }},
    {"queue",
     [](const Word& w, LinkConfig& l) { l.queue_bytes = amount(w, "bytes, as in 100k or 1M"); }},
    {"reorder", [](const Word& w, LinkConfig& l) { l.reorder = probability(w); }},
    {"reorder-by", [](const Word& w, LinkConfig& l) { l.reorder_by = delay(w, w.value); }},
}};

void read_word(const Word& w, LinkConfig& link) {
  std::vector<std::string> names;
  for (const auto& [name, read] : kWords) {
    if (w.key == name) return read(w, link);
    names.emplace_back(name);
  }
  throw UsageError(w.option + ": no such word '" + w.key + "'; " + runtime::nearest(w.key, names));
}

std::string in_ms(Time t) {
  std::string text = std::to_string(static_cast<double>(t) / 1e6);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " ms";
}

std::string in_percent(double share) {
  std::string text = std::to_string(share * 100);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " %";
}

}  // namespace

LinkConfig parse_link(const std::string& option, std::string_view text) {
  LinkConfig link;
  std::vector<std::string> seen;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view pair = text.substr(0, comma);
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == pair.size()) {
      throw UsageError(option + ": '" + std::string(pair) +
                       "' is not key=value; give words as in delay=10ms,loss=1%");
    }
    const Word word{option, std::string(pair.substr(0, equals)),
                    std::string(pair.substr(equals + 1))};
    for (const std::string& key : seen) {
      if (key == word.key)
        throw UsageError(std::string(option).append(": ").append(key) +=
                         " is given twice; once is enough");
    }
    seen.push_back(word.key);
    read_word(word, link);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  const auto said = [&](const char* key) {
    return std::find(seen.begin(), seen.end(), key) != seen.end();
  };
  if (said("delay") && said("bands")) {
    throw UsageError(option + ": delay and bands exclude each other; take one out");
  }
  if (said("queue") && link.rate == 0) {
    throw UsageError(option + ": queue is what waits for a rate; add rate=, or take it out");
  }
  if (link.rate != 0 && link.queue_bytes == 0) {
    link.queue_bytes =
        static_cast<std::uint64_t>(static_cast<double>(link.rate) / 8 * kQueueSeconds);
  }
  return link;
}

std::string describe(const LinkConfig& l) {
  std::string text = "delay " + in_ms(l.delay_from);
  if (l.bands > 1) text += " to " + in_ms(l.delay_to) + " in " + std::to_string(l.bands) + " bands";
  text += ", loss " + in_percent(l.loss);
  if (l.rate != 0) {
    text += ", rate " + std::to_string(l.rate) + " bit/s behind " + std::to_string(l.queue_bytes) +
            " bytes";
  }
  if (l.reorder != 0) text += ", reorder " + in_percent(l.reorder) + " by " + in_ms(l.reorder_by);
  return text;
}

}  // namespace stackrig::delaybox
