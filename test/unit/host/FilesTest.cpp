// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arrays and the files that hold them: round trips, and a message for each fault.
#include "runtime/abi/Files.h"
#include "runtime/host/Npy.h"
#include "runtime/host/Safetensors.h"
#include "runtime/host/Types.h"

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::runtime;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class Files : public testing::Test {
protected:
  Files() {
    std::string pattern = std::filesystem::temp_directory_path() / "fovea-files-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~Files() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string &name) const { return folder_ + "/" + name; }
  std::string folder_;
};

std::string slurp(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string npy(const std::string &header, const std::string &data, int major = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i)
    text += static_cast<char>(header.size() >> (8 * i));
  return text + header + data;
}

std::string header(const std::string &type, const std::string &shape, const char *order = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

std::string npyError(const std::string &content, std::optional<StorageType> as = {}) {
  Result<Array> array = parseNpy(content, as);
  return array ? "no error" : array.error().message;
}

std::string safetensors(const std::string &json, const std::string &data) {
  std::string text;
  for (int i = 0; i < 8; ++i)
    text += static_cast<char>(json.size() >> (8 * i));
  return text + json + data;
}

std::string safetensorsError(const std::string &json, const std::string &data) {
  Result<Safetensors> file = Safetensors::parse(safetensors(json, data));
  return file ? "no error" : file.error().message;
}

std::string failed(const Result<Array> &array) { return array ? "no error" : array.error().message; }

} // namespace

TEST(Array, ShapesAndStrides) {
  Result<Array> array = Array::createStrided(StorageType::F32, {2, 3}, {8, 2});
  ASSERT_TRUE(array.ok());
  EXPECT_EQ(array->elements(), 6);
  EXPECT_EQ(array->bytes().size(), 4u * (8 + 4 + 1));
  EXPECT_FALSE(array->contiguous());
  for (int i = 0; i < 6; ++i)
    array->setValue(i, i);
  EXPECT_EQ(array->valueAt(8 + 4), 5);
  EXPECT_EQ(array->valueAt(1), 0) << "a gap was written";
  EXPECT_EQ(array->toDoubles(), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  Result<Array> plain = array->converted(StorageType::BF16);
  ASSERT_TRUE(plain.ok());
  EXPECT_TRUE(plain->contiguous());
  EXPECT_EQ(plain->toDoubles(), array->toDoubles());
  EXPECT_EQ(Array::create(StorageType::I32, {})->elements(), 1);
  EXPECT_EQ(Array::create(StorageType::I32, {3, 0})->bytes().size(), 0u);
  Result<Array> one = Array::createStrided(StorageType::F16, {1, 4}, {999, 1});
  EXPECT_TRUE(one->contiguous()) << "the stride of a single row does not matter";
}

TEST(Array, Messages) {
  EXPECT_CONTAINS(failed(Array::create(StorageType::F32, {-1})), "negative size");
  EXPECT_CONTAINS(failed(Array::create(StorageType::F32, {int64_t{1} << 40, int64_t{1} << 40})), "overflows 64 bits");
  EXPECT_CONTAINS(failed(Array::create(StorageType::F32, {int64_t{1} << 50})), "too much memory");
  EXPECT_CONTAINS(failed(Array::createStrided(StorageType::F32, {2}, {-1})), "a negative stride");
  EXPECT_CONTAINS(failed(Array::createStrided(StorageType::F32, {2}, {})), "0 strides for the 1 dimensions");
  EXPECT_CONTAINS(failed(Array::createStrided(StorageType::F32, {9, 9}, {INT64_MAX / 4, 1})), "overflows 64 bits");
  EXPECT_CONTAINS(failed(Array::fromDoubles(StorageType::F32, {2}, std::vector<double>{1})), "1 values for shape [2]");
  for (double bad : {0.5, 3e9, -3e9, std::nan("")})
    EXPECT_CONTAINS(failed(Array::fromDoubles(StorageType::I32, {1}, std::vector<double>{bad})), "no 32-bit integer");
  EXPECT_EQ(Array::fromDoubles(StorageType::I32, {1}, std::vector<double>{-0x1p31})->value(0), -0x1p31);
}

TEST_F(Files, NpyRoundTrip) {
  std::vector<double> values = {1, -2.5, 0, 1e-3, std::numeric_limits<double>::infinity(), 65504};
  for (StorageType type : {StorageType::F32, StorageType::F16, StorageType::BF16}) {
    Result<Array> array = Array::fromDoubles(type, {2, 3}, values);
    ASSERT_TRUE(writeNpy(at("a.npy"), *array).ok());
    Result<Array> again = readNpy(at("a.npy"), type);
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->type(), type);
    EXPECT_EQ(again->shape(), array->shape());
    EXPECT_EQ(again->toDoubles(), array->toDoubles());
    // bf16 is stored as f4.
    EXPECT_EQ(readNpy(at("a.npy"))->type(), type == StorageType::BF16 ? StorageType::F32 : type);
    EXPECT_EQ(slurp(at("a.npy")).find('\n') % 64, 63u) << "data must begin at a multiple of 64 bytes";
  }
  Result<Array> integers = Array::fromDoubles(StorageType::I32, {3}, std::vector<double>{-1, 7, 0x1p31 - 1});
  ASSERT_TRUE(writeNpy(at("i.npy"), *integers).ok());
  EXPECT_EQ(readNpy(at("i.npy"))->toDoubles(), integers->toDoubles());
  Result<Array> scalar = Array::fromDoubles(StorageType::F32, {}, std::vector<double>{3});
  ASSERT_TRUE(writeNpy(at("s.npy"), *scalar).ok());
  EXPECT_EQ(readNpy(at("s.npy"))->shape().size(), 0u);
  // Written without its gaps.
  Result<Array> strided = Array::fromDoubles(StorageType::F32, {2, 3}, values)->restrided({5, 1}, 9);
  ASSERT_TRUE(writeNpy(at("t.npy"), *strided).ok());
  EXPECT_EQ(readNpy(at("t.npy"))->toDoubles(), strided->toDoubles());
}

TEST_F(Files, DoublesAreRoundedOnce) {
  std::vector<double> values = {1 + 0x1p-8 + 0x1p-40};
  int64_t shape[] = {1};
  ASSERT_TRUE(writeNpy(at("d.npy"), shape, values).ok());
  EXPECT_EQ(readNpy(at("d.npy"), StorageType::BF16)->value(0), 1 + 0x1p-7);
  EXPECT_EQ(readNpy(at("d.npy"))->value(0), 1 + 0x1p-8);
  EXPECT_FALSE(writeNpy(at("d.npy"), shape, std::vector<double>{1, 2}).ok());
}

TEST(Npy, ReadsWhatNumpyWrites) {
  std::string one("\x00\x00\x80\x3f", 4), eight("\x08\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(npyError(npy(header("<f4", "(1,)"), one)), "no error");
  EXPECT_EQ(npyError(npy(header("<f4", "()"), one)), "no error");
  EXPECT_EQ(npyError(npy(header("<f4", "(1, 1)"), one, 2)), "no error");
  EXPECT_EQ(npyError(npy(header("<f4", "(1, 1)"), one, 3)), "no error");
  EXPECT_EQ(npyError(npy("{\"shape\":(1,),\"fortran_order\":False,\"descr\":\"<f4\"}   \n", one)), "no error");
  EXPECT_EQ(npyError(npy(header("<f4", "(0, 5)"), "")), "no error");
  EXPECT_EQ(npyError(npy(header("<f4", "(1,)", "True"), one)), "no error") << "one dimension has no order";
  EXPECT_EQ(parseNpy(npy(header("<i8", "(1,)"), eight))->value(0), 8);
  EXPECT_EQ(parseNpy(npy(header("<f2", "(1,)"), std::string("\x00\x3c", 2)))->type(), StorageType::F16);
}

TEST(Npy, Messages) {
  std::string one("\x00\x00\x80\x3f", 4);
  EXPECT_CONTAINS(npyError(""), "no .npy file");
  EXPECT_CONTAINS(npyError("PK\3\4 a zip file"), "no .npy file");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(1,)"), one, 9)), "version 9.0 is not read");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(1,)"), one).substr(0, 40)), "ends inside its header");
  EXPECT_CONTAINS(npyError(std::string("\x93NUMPY\x02\x00\x01\x00", 10)), "ends inside its header");
  EXPECT_CONTAINS(npyError(npy(std::string(70000, ' '), "", 2)), "a header of 70000 bytes");
  EXPECT_CONTAINS(npyError(npy(header(">f4", "(1,)"), one)), ">f4 is big endian; save it as <f4");
  EXPECT_CONTAINS(npyError(npy(header("<c8", "(1,)"), one)), "type <c8 is not read");
  EXPECT_CONTAINS(npyError(npy(header("|V2", "(1,)"), one)), "NumPy has no bf16");
  EXPECT_CONTAINS(npyError(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", one)), "records");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(1, 1)", "True"), one)), "Fortran order");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(2,)"), one)), "needs 2 elements of 4 bytes, the data has 4 bytes");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(1,)"), one + "x")), "the data has 5 bytes");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(9999999999, 9999999999)"), one)), "overflows 64 bits");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(4000000000000000000,)"), one)), "the data has 4 bytes");
  EXPECT_CONTAINS(npyError(npy(header("<f4", "(1,)"), one), StorageType::I32), "floating point where i32");
  EXPECT_CONTAINS(npyError(npy(header("<i4", "(1,)"), one), StorageType::BF16), "integers where bf16");
  EXPECT_CONTAINS(npyError(npy(header("<i8", "(1,)"), std::string(8, '\x7f'))), "does not fit 32 bits");
  for (const char *bad : {"", "{", "{}", "x", "{'descr': '<f4'}",
                          "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
                          "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (1}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "{'descr': '<f4",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                          "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "{'descr' '<f4'}"})
    EXPECT_CONTAINS(npyError(npy(bad, one)), "not a dictionary of descr, fortran_order and shape");
}

TEST_F(Files, MissingAndUnwritable) {
  EXPECT_EQ(readNpy(at("absent.npy")).error().code, ErrorCode::NotFound);
  EXPECT_CONTAINS(readNpy(at("absent.npy")).error().message, "absent.npy");
  EXPECT_CONTAINS(readNpy(folder_).error().message, "not a regular file");
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_CONTAINS(readNpy(at("pipe")).error().message, "not a regular file");
  std::ofstream(at("long")) << "12345";
  EXPECT_CONTAINS(readFile(at("long"), 4).error().message, "5 bytes; at most 4");
  Result<Array> array = Array::create(StorageType::F32, {4});
  Status status = writeNpy(at("absent/a.npy"), *array);
  ASSERT_FALSE(status.ok());
  EXPECT_CONTAINS(status.error().message, "cannot write");
  // The rename fails here; the temporary file must go.
  std::filesystem::create_directory(at("taken.npy"));
  EXPECT_FALSE(writeNpy(at("taken.npy"), *array).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 3);
}

TEST_F(Files, FullDiskLeavesTheOldFile) {
  std::ofstream(at("old.npy")) << "old";
  // A limit on file size is what a full disk looks like to write().
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    Result<Array> array = Array::create(StorageType::F32, {4096});
    Status status = writeNpy(at("old.npy"), *array);
    _exit(!status && status.error().code == ErrorCode::Io ? 0 : 1);
  }
  int result = -1;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(slurp(at("old.npy")), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(Files, SafetensorsRoundTrip) {
  Result<Array> a = Array::fromDoubles(StorageType::BF16, {2, 2}, std::vector<double>{1, 2, 3, 4});
  Result<Array> b = Array::fromDoubles(StorageType::I32, {3}, std::vector<double>{5, 6, -7});
  Result<Array> c = a->restrided({4, 2}, 9);
  ASSERT_TRUE(writeSafetensors(at("x.safetensors"), {{"a", &*a}, {"b", &*b}, {"c", &*c}}).ok());
  Result<Safetensors> file = Safetensors::open(at("x.safetensors"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->entries().size(), 3u);
  EXPECT_EQ(file->entries()[1].name, "b");
  EXPECT_EQ(file->get("a")->type(), StorageType::BF16);
  EXPECT_EQ(file->get("a", StorageType::F32)->toDoubles(), a->toDoubles());
  EXPECT_EQ(file->get("b")->toDoubles(), b->toDoubles());
  EXPECT_EQ(file->get("c")->toDoubles(), a->toDoubles());
  EXPECT_CONTAINS(file->get("z").error().message, "no tensor `z`; there are: a, b, c");
  EXPECT_CONTAINS(file->get("a", StorageType::I32).error().message, "tensor `a`: the data are floating point");
  EXPECT_FALSE(writeSafetensors(at("y"), {{"a", &*a}, {"a", &*b}}).ok());
  EXPECT_EQ(Safetensors::open(at("absent")).error().code, ErrorCode::NotFound);
}

TEST(SafetensorsFile, Messages) {
  auto item = [](const char *type, const char *shape, const char *offsets) {
    return std::string("{\"t\":{\"dtype\":\"") + type + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  EXPECT_EQ(safetensorsError(item("F32", "[1]", "[0,4]"), "abcd"), "no error");
  EXPECT_EQ(safetensorsError("{\"__metadata__\":{\"a\":\"b\"}}  ", ""), "no error");
  EXPECT_CONTAINS(Safetensors::parse("abc").error().message, "shorter than 8 bytes");
  EXPECT_CONTAINS(Safetensors::parse(std::string(8, '\x7f')).error().message, "a header of");
  EXPECT_CONTAINS(Safetensors::parse(std::string("\x20\0\0\0\0\0\0\0{}", 10)).error().message,
                  "ends inside its header");
  EXPECT_CONTAINS(safetensorsError("{", ""), "not JSON");
  EXPECT_CONTAINS(safetensorsError("[]", ""), "no object");
  EXPECT_CONTAINS(safetensorsError("{\"t\":1}", ""), "expected dtype, shape and data_offsets");
  EXPECT_CONTAINS(safetensorsError("{\"t\":{},\"t\":{}}", ""), "occurs twice");
  EXPECT_CONTAINS(safetensorsError(std::string(1000, '['), ""), "nested more than");
  EXPECT_CONTAINS(safetensorsError(item("Q4", "[1]", "[0,4]"), "abcd"), "unknown dtype Q4");
  EXPECT_CONTAINS(safetensorsError(item("F32", "1", "[0,4]"), "abcd"), "the shape is no list");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[-1]", "[0,4]"), "abcd"), "a size is no natural number");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[1]", "[4,0]"), "abcd"), "do not lie in the file");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[1]", "[0,8]"), "abcd"), "do not lie in the file");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[2]", "[0,4]"), "abcd"), "4 bytes do not make shape [2] of F32");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[4611686018427387903,4611686018427387903]", "[0,4]"), "abcd"),
                  "do not make");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[1]", "[4,8]"), "abcdefgh"), "overlap others or leave a gap");
  EXPECT_CONTAINS(safetensorsError(item("F32", "[1]", "[0,4]"), "abcde"), "1 bytes at the end belong to no tensor");
  Result<Safetensors> file = Safetensors::parse(safetensors(item("U8", "[4]", "[0,4]"), "abcd"));
  ASSERT_TRUE(file.ok());
  EXPECT_CONTAINS(file->get("t").error().message, "has type U8; read are");
}

TEST(ExampleData, IsReadAndHasItsShape) {
  for (const char *name : {"q", "k", "v"}) {
    Result<Array> array = readNpy(std::string(FOVEA_SOURCE_DIR "/examples/data/") + name + ".npy", StorageType::BF16);
    ASSERT_TRUE(array.ok()) << array.error().message;
    EXPECT_EQ(array->shape(), (std::vector<int64_t>{1, 182, 4, 32}));
    double squares = 0;
    for (double value : array->toDoubles()) {
      ASSERT_TRUE(std::isfinite(value));
      squares += value * value;
    }
    EXPECT_GT(squares / static_cast<double>(array->elements()), 0.1);
  }
}
