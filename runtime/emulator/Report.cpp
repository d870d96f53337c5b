// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// LaunchReport as JSON.
#include "runtime/emulator/Emulator.h"

#include <nlohmann/json.hpp>

namespace fovea::emulator {

std::string LaunchReport::toJson() const {
  using Json = nlohmann::ordered_json;
  auto dim = [](const Dim3 &d) { return Json::array({d.x, d.y, d.z}); };
  Json out;
  out["completed"] = completed;
  out["clean"] = clean();
  out["seconds"] = seconds;
  out["findingCount"] = findingCount;
  out["findings"] = Json::array();
  for (const Finding &f : findings) {
    Json j;
    j["kind"] = toString(f.kind);
    j["line"] = f.line;
    j["text"] = f.text;
    j["cta"] = dim(f.cta);
    j["thread"] = dim(f.thread);
    j["address"] = f.address;
    j["object"] = f.object;
    j["message"] = f.message;
    j["count"] = f.count;
    out["findings"].push_back(std::move(j));
  }
  const Counters &c = counters;
  Json &j = out["counters"];
  j["warpInstructions"] = c.warpInstructions;
  j["laneInstructions"] = c.laneInstructions;
  j["tensorOps"] = c.tensorOps;
  j["sharedLoadBytes"] = c.sharedLoadBytes;
  j["sharedStoreBytes"] = c.sharedStoreBytes;
  j["sharedWavefronts"] = c.sharedWavefronts;
  j["sharedIdealWavefronts"] = c.sharedIdealWavefronts;
  j["globalLoadBytes"] = c.globalLoadBytes;
  j["globalStoreBytes"] = c.globalStoreBytes;
  j["globalSectorsRequested"] = c.globalSectorsRequested;
  j["globalSectorsUnique"] = c.globalSectorsUnique;
  j["opcodes"] = Json::object();
  for (const auto &[name, count] : c.opcodes)
    j["opcodes"][name] = count;
  j["lines"] = Json::array();
  for (const auto &[line, n] : c.lines) {
    Json l;
    l["line"] = line;
    l["executed"] = n.executed;
    if (n.wavefronts) {
      l["wavefronts"] = n.wavefronts;
      l["idealWavefronts"] = n.idealWavefronts;
      l["worstDegree"] = n.worstDegree;
    }
    if (n.sectors)
      l["sectors"] = n.sectors;
    j["lines"].push_back(std::move(l));
  }
  j["buffers"] = Json::array();
  for (const BufferCounters &b : c.buffers)
    j["buffers"].push_back({{"name", b.name},
                            {"loadBytes", b.loadBytes},
                            {"storeBytes", b.storeBytes},
                            {"loadSectors", b.loadSectors},
                            {"storeSectors", b.storeSectors},
                            {"uniqueSectors", b.uniqueSectors}});
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace fovea::emulator
