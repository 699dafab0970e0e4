#include "compare/html.h"

#include <fmt/format.h>

namespace aviary {
namespace {

constexpr const char* style = R"(<style>
:root{color-scheme:light dark;--text:#1f2937;--quiet:#5b6472;--line:#e5e7eb;--page:#f4f5f7;--card:#ffffff;--bar:#d5dbe5}
@media (prefers-color-scheme:dark){:root{--text:#e5e7eb;--quiet:#9aa3b2;--line:#273244;--page:#0b0f17;--card:#111827;--bar:#334155}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1320px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 6px}
h2{font-size:18px;margin:36px 0 10px}
p{margin:6px 0;max-width:900px}
.quiet{color:var(--quiet)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
.figures{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;margin:20px 0}
.wide{grid-column:1/-1}
@media (max-width:900px){.figures{grid-template-columns:minmax(0,1fr)}}
.figures svg{display:block;width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 9px;font-size:13.5px;text-align:right;border-top:1px solid var(--line);white-space:nowrap;vertical-align:top}
thead th{border-top:0;font-size:12px;font-weight:600;color:var(--quiet);vertical-align:bottom}
th small,td small{display:block;font-weight:400;color:var(--quiet);font-size:12px}
th:first-child,td:first-child{text-align:left}
td.best{font-weight:700}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:8px}
.bar{display:block;height:4px;border-radius:2px;margin:5px 0 0 auto;background:var(--bar)}
.settings td,.settings th{text-align:left;white-space:normal}
ul{margin:6px 0;padding-left:20px;max-width:900px}
</style>
)";

}  // namespace

std::string html(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

std::string page_head(const std::string& title) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n{}"
      "</head>\n<body>\n<main>\n<h1>{}</h1>\n",
      title, style, title);
}

std::string page_end() { return "</main>\n</body>\n</html>\n"; }

}  // namespace aviary
