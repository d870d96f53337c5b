// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NumPy's archives: round trips, those that numpy wrote, and hostile ones.
#include "runtime/npz/Npz.h"

#include "runtime/abi/Files.h"
#include "runtime/host/Npy.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <zlib.h>

using namespace fovea;
using namespace fovea::runtime;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

std::string number(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i)
    text += static_cast<char>(value >> (8 * i));
  return text;
}

/// A member as it stands in the file; what the head says is a value of its own, so that it can lie.
struct Member {
  explicit Member(std::string name, std::string data = {})
      : name(std::move(name)), data(std::move(data)), packed(this->data.size()), bytes(this->data.size()),
        sum(crc32(0, reinterpret_cast<const Bytef *>(this->data.data()), static_cast<uInt>(this->data.size()))) {}
  std::string name, data;
  uint64_t packed, bytes;
  uint64_t sum, flags = 0, method = 0;
  std::string head() const {
    return number(20, 2) + number(flags, 2) + number(method, 2) + number(0, 2) + number(33, 2) + number(sum, 4) +
           number(packed, 4) + number(bytes, 4) + number(name.size(), 2) + number(0, 2);
  }
};

std::string zip(const std::vector<Member> &members) {
  std::string content, directory;
  for (const Member &member : members) {
    directory += "PK\1\2" + number(20, 2) + member.head() + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 4) +
                 number(content.size(), 4) + member.name;
    content += "PK\3\4" + member.head() + member.name + member.data;
  }
  std::string end = "PK\5\6" + number(0, 4) + number(members.size(), 2) + number(members.size(), 2) +
                    number(directory.size(), 4) + number(content.size(), 4) + number(0, 2);
  return content + directory + end;
}

std::string deflated(const std::string &data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(compressBound(static_cast<uLong>(data.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef *>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Member deflatedMember(const std::string &name, const std::string &data) {
  Member member(name, data);
  member.data = deflated(data);
  member.packed = member.data.size();
  member.method = 8;
  return member;
}

Array sample() { return *Array::fromDoubles(StorageType::F32, {2, 3}, std::vector<double>{1, 2, 3, 4, 5, 6.5}); }
std::string sampleText() { return *npyText(sample()); }

std::string npzError(const std::vector<Member> &members) {
  Result<Npz> file = Npz::parse(zip(members));
  return file ? "no error" : file.error().message;
}
std::string getError(const std::string &content, const std::string &name = "a") {
  Result<Npz> file = Npz::parse(content);
  if (!file)
    return "open: " + file.error().message;
  Result<Array> array = file->get(name);
  return array ? "no error" : array.error().message;
}

class NpzFile : public testing::Test {
protected:
  NpzFile() {
    std::string pattern = std::filesystem::temp_directory_path() / "fovea-npz-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~NpzFile() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string &name) const { return folder_ + "/" + name; }
  std::string folder_;
};

TEST_F(NpzFile, RoundTrip) {
  Result<Array> half = Array::fromDoubles(StorageType::F16, {4}, std::vector<double>{1, -2, 0.5, 0});
  Result<Array> brain = Array::fromDoubles(StorageType::BF16, {2, 2}, std::vector<double>{1, 2, 3, 4});
  Result<Array> whole = Array::fromDoubles(StorageType::I32, {3}, std::vector<double>{5, 6, -7});
  Result<Array> gaps = brain->restrided({4, 2}, 9);
  Result<Array> large = Array::create(StorageType::F32, {3, 1 << 20}); // several pieces
  large->setValue(3 * (1 << 20) - 1, 7);
  Array plain = sample();
  ASSERT_TRUE(
      writeNpz(at("x.npz"),
               {{"f", &plain}, {"h", &*half}, {"b", &*brain}, {"i", &*whole}, {"gaps", &*gaps}, {"größe", &*large}})
          .ok());
  Result<Npz> file = Npz::open(at("x.npz"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->names(), (std::vector<std::string>{"f", "h", "b", "i", "gaps", "größe"}));
  EXPECT_EQ(file->get("f")->shape(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file->get("f")->toDoubles(), plain.toDoubles());
  EXPECT_EQ(file->get("h")->type(), StorageType::F16);
  EXPECT_EQ(file->get("h")->toDoubles(), half->toDoubles());
  EXPECT_EQ(file->get("b")->type(), StorageType::F32) << "NumPy has no bf16";
  EXPECT_EQ(file->get("b", StorageType::BF16)->toDoubles(), brain->toDoubles());
  EXPECT_EQ(file->get("i")->toDoubles(), whole->toDoubles());
  EXPECT_EQ(file->get("gaps")->toDoubles(), brain->toDoubles());
  EXPECT_EQ(file->get("größe")->toDoubles(), large->toDoubles());
  EXPECT_CONTAINS(file->get("z").error().message, "no array `z`; there are: f, h, b, i, gaps, größe");
  EXPECT_CONTAINS(file->get("f", StorageType::I32).error().message, "array `f`: npy: the data are floating point");
  std::string first = *readFile(at("x.npz"), size_t{1} << 30);
  ASSERT_TRUE(writeNpz(at("y.npz"), {{"f", &plain}}).ok());
  ASSERT_TRUE(writeNpz(at("z.npz"), {{"f", &plain}}).ok());
  EXPECT_EQ(*readFile(at("y.npz"), 1 << 20), *readFile(at("z.npz"), 1 << 20));
}

TEST_F(NpzFile, WritingFails) {
  Array plain = sample();
  EXPECT_CONTAINS(writeNpz(at("y.npz"), {{"a", &plain}, {"a", &plain}}).error().message, "occurs twice");
  EXPECT_CONTAINS(writeNpz(at("absent/y.npz"), {{"a", &plain}}).error().message, "cannot write");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_EQ(Npz::open(at("y.npz")).error().code, ErrorCode::NotFound);
}

// Kept inputs of the fuzz target that numpy.savez and numpy.savez_compressed wrote.
TEST(Npz, WrittenByNumpy) {
  for (const char *name : {"savez", "compressed"}) {
    Result<Npz> file = Npz::open(std::string(FOVEA_SOURCE_DIR "/test/fuzz/corpus/fuzz-npz/") + name + ".npz");
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(file->get("a")->shape(), (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(file->get("a")->value(4), 4);
    EXPECT_EQ(file->get("b")->type(), StorageType::I32);
    EXPECT_EQ(file->get("b")->value(2), 2);
  }
}

TEST(Npz, Members) {
  std::string text = sampleText();
  EXPECT_EQ(getError(zip({Member("a.npy", text)})), "no error");
  EXPECT_EQ(getError(zip({deflatedMember("a.npy", text)})), "no error");
  EXPECT_EQ(getError(zip({Member("readme.txt", "no array"), Member("a.npy", text)})), "no error");
  EXPECT_EQ(getError(zip({Member("folder/a.npy", text)}), "folder/a"), "no error");
  EXPECT_CONTAINS(getError(zip({Member("readme.txt", "no array")}), "readme.txt"), "no array `readme.txt`");
  EXPECT_CONTAINS(getError(zip({})), "this is no .npz file with an array");
}

TEST(Npz, Hostile) {
  std::string text = sampleText();
  EXPECT_CONTAINS(getError(""), "this is no .npz file");
  EXPECT_CONTAINS(getError("\x93NUMPY"), "this is no .npz file");
  EXPECT_CONTAINS(getError(std::string(100000, 'P')), "this is no .npz file");
  EXPECT_CONTAINS(npzError({Member("a.npy", text), Member("a.npy", text)}), "`a` occurs twice");
  EXPECT_CONTAINS(npzError({Member(std::string(2000, 'x') + ".npy", text)}), "a name of 2004 bytes");
  Member member("a.npy", text);
  member.flags = 1;
  EXPECT_CONTAINS(npzError({member}), "is encrypted");
  member = Member("a.npy", text);
  member.method = 14;
  EXPECT_CONTAINS(npzError({member}), "packed by method 14; 0 and 8 (deflate) are read");
  member.method = 0;
  member.bytes = 0xfffffff0;
  EXPECT_CONTAINS(npzError({member}), "says that it has 4294967280 bytes");
  member.packed = member.bytes;
  EXPECT_CONTAINS(npzError({member}), "which cannot be");
  member = deflatedMember("a.npy", text);
  member.bytes = 0xfffffff0;
  EXPECT_CONTAINS(npzError({member}), "says that it has 4294967280 bytes");
  member.bytes = text.size() + 1;
  EXPECT_CONTAINS(getError(zip({member})), "`a`: npz: its data are damaged or cut off");
  member.bytes = text.size() - 1;
  EXPECT_CONTAINS(getError(zip({member})), "damaged or cut off");
  member = Member("a.npy", text);
  member.sum ^= 1;
  EXPECT_CONTAINS(getError(zip({member})), "damaged or cut off");
  member = deflatedMember("a.npy", text);
  member.data[member.data.size() / 2] = '\xff';
  EXPECT_CONTAINS(getError(zip({member})), "damaged or cut off");
  EXPECT_CONTAINS(getError(zip({Member("a.npy", "no array at all")})), "array `a`: npy: this is no .npy file");
  EXPECT_CONTAINS(getError(zip({Member("a.npy", text.substr(0, text.size() - 1))})), "array `a`: npy: ");
  // The directory says one place, and another member lies there.
  std::string swapped = zip({Member("a.npy", text), Member("bbbb.npy", text)});
  swapped[swapped.rfind("PK\1\2") + 42] = 3;
  EXPECT_CONTAINS(getError(swapped, "bbbb"), "its head is damaged");
}

// A small file that unpacks to much: refused before anything is unpacked.
TEST(Npz, Bomb) {
  Member member("a.npy");
  member.method = 8;
  member.data = deflated(std::string(size_t{4} << 20, '\0'));
  std::string block = member.data;
  while (member.data.size() < (size_t{5} << 20)) // so that the size that is said could be
    member.data += block;
  member.packed = member.data.size();
  member.bytes = uint64_t{3} << 30;
  EXPECT_CONTAINS(getError(zip({member})), "; at most 1073741824 are read");
}

/// Every cut and many damaged bytes: an error or an array, and under the sanitizers nothing else.
TEST(Npz, CutAndDamaged) {
  std::string whole = zip({Member("a.npy", sampleText()), deflatedMember("b.npy", sampleText())});
  constexpr size_t kUnread = 4; // at the end: the length of a comment
  for (size_t length = 0; length < whole.size() - kUnread; ++length)
    EXPECT_NE(getError(whole.substr(0, length)), "no error") << length;
  std::mt19937 random(1);
  int survived = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 1 + round % 3; ++i)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    survived += getError(damaged) == "no error";
    (void)getError(damaged, "b");
  }
  EXPECT_LT(survived, 3000) << "some damage is found";
  EXPECT_GT(survived, 0) << "and damage to `b` does not lose `a`";
}

} // namespace
