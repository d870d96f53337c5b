# Language level, warnings, linker and ccache: the same for every target.
include(GNUInstallDirs)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(FOVEA_CCACHE ccache)
if(FOVEA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # A precompiled header changes its time stamp but not its meaning: without the sloppiness, ccache never hits.
  # Paths below the repository count as relative, so that several build folders and clones share what they compile.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${FOVEA_CCACHE}")
endif()

# mold, else lld: GNU ld takes several times as long over MLIR's libraries.
find_program(FOVEA_MOLD mold)
find_program(FOVEA_LLD ld.lld)
if(FOVEA_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(FOVEA_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# What ships needs of the machine its C library alone: Debian's libstdc++ may be newer than another system's.
option(FOVEA_STATIC "link MLIR, LLVM and the libraries of the language statically" OFF)
if(FOVEA_STATIC)
  add_link_options(-static-libstdc++ -static-libgcc)
endif()

add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions> $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
                    -fdiagnostics-color=auto)
set(FOVEA_WARNINGS -Wall -Wextra -Werror -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports impossible lengths inside std::string concatenation (GCC bugs 105329, 105651).
  list(APPEND FOVEA_WARNINGS -Wno-restrict -Wno-stringop-overflow)
endif()
if(FOVEA_SANITIZE)
  add_compile_options(-fsanitize=${FOVEA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FOVEA_SANITIZE})
endif()
if(FOVEA_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "FOVEA_FUZZERS needs clang++ (preset fuzz): libFuzzer comes with it")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# fovea_library(NAME sources... LINK libs...): a static library of this project, warnings on, include root = repository root.
function(fovea_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# fovea_interface_library(NAME LINK libs...): what the shared libraries for users have in common: the headers in
# runtime/include, and no symbols but those of the C interface, or of the version script EXPORTS.
function(fovea_interface_library name)
  cmake_parse_arguments(ARG "" "EXPORTS" "LINK" ${ARGN})
  target_include_directories(${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include>"
                                            "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
                             PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS} -fvisibility=hidden)
  set(exports "${PROJECT_SOURCE_DIR}/runtime/api/exports.map")
  if(ARG_EXPORTS)
    set(exports "${ARG_EXPORTS}")
  endif()
  target_link_options(${name} PRIVATE "LINKER:--version-script=${exports}" "LINKER:--gc-sections")
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  set_target_properties(${name} PROPERTIES LINK_DEPENDS "${exports}" VERSION ${PROJECT_VERSION} SOVERSION 0
                        LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
endfunction()

# fovea_executable(NAME sources... LINK libs...)
function(fovea_executable name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
endfunction()

# fovea_unit_test(NAME sources... LINK libs...): a gtest program, run by ctest.
function(fovea_unit_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  fovea_executable(${name} ${ARG_UNPARSED_ARGUMENTS} LINK ${ARG_LINK} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test/unit")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

# fovea_slow_test(NAME sources... LINK libs...): a gtest program for the slow tier only. It reads FOVEA_SEED (an integer) and
# FOVEA_SECONDS (how long a campaign may take) from the environment.
function(fovea_slow_test name)
  fovea_unit_test(${name} ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS slow TIMEOUT 3600)
endfunction()

# fovea_fuzz_target(NAME sources... LINK libs...): sources define LLVMFuzzerTestOneInput; kept inputs lie in test/fuzz/corpus/NAME.
# With FOVEA_FUZZERS it is a libFuzzer program in fuzz/; otherwise a test that runs the kept inputs once.
function(fovea_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  set(corpus "${PROJECT_SOURCE_DIR}/test/fuzz/corpus/${name}")
  if(FOVEA_FUZZERS)
    fovea_executable(${name} ${ARG_UNPARSED_ARGUMENTS} LINK ${ARG_LINK})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
  else()
    fovea_executable(${name} ${ARG_UNPARSED_ARGUMENTS} "${PROJECT_SOURCE_DIR}/test/fuzz/Replay.cpp" LINK ${ARG_LINK})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test/fuzz")
    add_test(NAME ${name} COMMAND ${name} ${corpus})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600)
  endif()
endfunction()
