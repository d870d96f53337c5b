// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The checks around nlohmann's parser.
#include "runtime/abi/StrictJson.h"

#include <set>
#include <string>
#include <vector>

namespace fovea::runtime {

namespace {

/// Looks at brackets outside strings only, before any memory is spent on the document.
bool nestsTooDeep(std::string_view text, int maxDepth) {
  int depth = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
    } else if (c == '"') {
      inString = true;
    } else if (c == '{' || c == '[') {
      if (++depth > maxDepth)
        return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

} // namespace

Result<nlohmann::json> parseStrictJson(std::string_view text, int maxDepth) {
  using Json = nlohmann::json;
  if (nestsTooDeep(text, maxDepth))
    return Error{ErrorCode::Corrupt, "nested more than " + std::to_string(maxDepth) + " deep"};
  // The parser keeps the last of two equal keys; then a person could read another document than the program.
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  auto watch = [&](int, Json::parse_event_t event, Json &value) {
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto *key = value.get_ptr<const std::string *>();
      if (key && !keys.back().insert(*key).second && repeated.empty())
        repeated = "key `" + key->substr(0, 40) + "` occurs twice in one object";
    }
    return true;
  };
  Json root = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (root.is_discarded())
    return Error{ErrorCode::Corrupt, "this is not JSON, or it is cut short"};
  if (!repeated.empty())
    return Error{ErrorCode::Corrupt, repeated};
  return root;
}

} // namespace fovea::runtime
