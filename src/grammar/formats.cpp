#include "grammar/formats.h"

#include <fmt/format.h>

#include <string>

#include "grammar/regex.h"

namespace aviary::grammar {
namespace {

// RFC 3339: the days of each month, and February 29 in leap years.
std::string full_date() {
  const std::string leap =
      "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29";
  const std::string days_31 = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])";
  const std::string days_30 = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)";
  const std::string days_28 = "02-(?:0[1-9]|1[0-9]|2[0-8])";
  return fmt::format("(?:[0-9]{{4}}-(?:{}|{}|{})|{})", days_31, days_30, days_28, leap);
}

// Without leap seconds, which would depend on the offset.
std::string full_time() {
  return "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5]["
         "0-9])";
}

// RFC 3339, appendix A; whole numbers, weeks alone.
std::string duration() {
  const std::string n = "[0-9]{1,9}";
  const std::string time = fmt::format("T(?:{0}H(?:{0}M(?:{0}S)?)?|{0}M(?:{0}S)?|{0}S)", n);
  const std::string date = fmt::format("(?:{0}Y(?:{0}M(?:{0}D)?)?|{0}M(?:{0}D)?|{0}D)(?:{1})?", n, time);
  return fmt::format("P(?:{}|{}|{}W)", date, time, n);
}

std::string ipv4() {
  const std::string part = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  return fmt::format("{0}(?:\\.{0}){{3}}", part);
}

// RFC 4291: eight groups, or fewer around one "::"; the last two may be an IPv4 address.
std::string ipv6() {
  const std::string group = "[0-9A-Fa-f]{1,4}";
  const std::string last = fmt::format("(?:{0}:{0}|{1})", group, ipv4());
  std::string all = fmt::format("(?:(?:{}:){{6}}{}", group, last);
  all += fmt::format("|::(?:{}:){{5}}{}", group, last);
  for (int after = 4; after >= 0; --after)
    all += fmt::format("|(?:(?:{0}:){{0,{1}}}{0})?::(?:{0}:){{{2}}}{3}", group, 4 - after, after, last);
  all += fmt::format("|(?:(?:{0}:){{0,5}}{0})?::{0}|(?:(?:{0}:){{0,6}}{0})?::)", group);
  return all;
}

// RFC 1123, at most 253 characters: three labels of any length, or up to eight of at most 30.
std::string hostname(int least_dots = 0) {
  const std::string label = "[0-9A-Za-z](?:[0-9A-Za-z-]{{0,{}}}[0-9A-Za-z])?";
  const std::string longer = fmt::format(fmt::runtime(label), 61),
                    shorter = fmt::format(fmt::runtime(label), 28);
  return fmt::format("(?:{0}(?:\\.{0}){{{2},2}}|{1}(?:\\.{1}){{{2},7}})", longer, shorter, least_dots);
}

// RFC 5321 without quoted names and addresses in brackets, and with a dot after the @, as validators want it.
std::string email() {
  const std::string atom = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]";
  return fmt::format("{0}{{1,20}}(?:\\.{0}{{1,20}}){{0,2}}@{1}", atom, hostname(1));
}

const std::string percent = "%[0-9A-Fa-f]{2}";
const std::string unreserved = "0-9A-Za-z._~\\-", sub_delims = "!$&'()*+,;=";

std::string uri_characters(std::string_view more) {
  return fmt::format("(?:[{}{}{}]|{})", unreserved, sub_delims, more, percent);
}

// RFC 3986, without addresses in brackets, and with something after the colon, as validators want it.
std::string authority() {
  return fmt::format("(?:{}*@)?{}*(?::[0-9]*)?", uri_characters(":"), uri_characters(""));
}

std::string query_and_fragment() {
  const std::string characters = uri_characters(":@/?");
  return fmt::format("(?:\\?{0}*)?(?:#{0}*)?", characters);
}

std::string uri() {
  const std::string part = uri_characters(":@");
  const std::string path = fmt::format("(?:/{0}*)*", part);
  return fmt::format("[A-Za-z][0-9A-Za-z+.-]*:(?://{0}{1}|/(?:{2}+{1})?|{2}+{1}){3}", authority(), path, part,
                     query_and_fragment());
}

std::string uri_reference() {
  const std::string part = uri_characters(":@"), first = uri_characters("@");
  const std::string path = fmt::format("(?:/{0}*)*", part);
  return fmt::format("(?:{0}|(?://{1}{2}|/(?:{3}+{2})?|{4}+{2})?{5})", uri(), authority(), path, part, first,
                     query_and_fragment());
}

// RFC 6570: text and lists of variables.
std::string uri_template() {
  const std::string name = "[0-9A-Za-z_]+(?:\\.[0-9A-Za-z_]+)*",
                    variable = name + "(?::[1-9][0-9]{0,3}|\\*)?";
  const std::string literal = fmt::format("(?:[{}!$&()*+,;=:@/?#]|{})", unreserved, percent);
  return fmt::format("(?:{}|\\{{[+#./;?&]?{}(?:,{})*\\}})*", literal, variable, variable);
}

const std::string json_pointer = "(?:/(?:[^~/]|~[01])*)*";

std::optional<std::string> expression_of(std::string_view name) {
  if (name == "date") return full_date();
  if (name == "time") return full_time();
  if (name == "date-time") return full_date() + "[Tt]" + full_time();
  if (name == "duration") return duration();
  if (name == "ipv4") return ipv4();
  if (name == "ipv6") return ipv6();
  if (name == "hostname" || name == "idn-hostname") return hostname();
  if (name == "email" || name == "idn-email") return email();
  if (name == "uuid") return "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
  if (name == "uri" || name == "iri") return uri();
  if (name == "uri-reference" || name == "iri-reference") return uri_reference();
  if (name == "uri-template") return uri_template();
  if (name == "json-pointer") return json_pointer;
  if (name == "relative-json-pointer") return "(?:0|[1-9][0-9]*)(?:#|" + json_pointer + ")";
  return {};
}

}  // namespace

std::optional<Dfa> dfa_of_format(std::string_view name, Work& work) {
  const std::optional<std::string> expression = expression_of(name);
  if (!expression) return {};
  Dfa dfa = dfa_of_regex(*expression, Match::whole, work);
  // Labels like xn--... stand for other alphabets, where not every spelling is one.
  if (name.ends_with("hostname") || name.ends_with("email"))
    dfa = combine(dfa, dfa_of_regex("(?:^|[.@])..--", Match::within, work), Combine::first_only, work);
  return dfa;
}

bool is_irregular_format(std::string_view name) { return name == "regex"; }

}  // namespace aviary::grammar
