# Language level, warnings, linker and ccache: the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(FOVEA_CCACHE ccache)
if(FOVEA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # A precompiled header changes its time stamp but not its meaning: without these, ccache never hits.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${FOVEA_CCACHE}")
endif()

# mold, else lld: GNU ld takes several times as long over MLIR's libraries.
find_program(FOVEA_MOLD mold)
find_program(FOVEA_LLD ld.lld)
if(FOVEA_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(FOVEA_LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_compile_options(-fno-exceptions -fvisibility-inlines-hidden -fdiagnostics-color=auto)
set(FOVEA_WARNINGS -Wall -Wextra -Werror -Wno-unused-parameter)
if(FOVEA_SANITIZE)
  add_compile_options(-fsanitize=${FOVEA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FOVEA_SANITIZE})
endif()

# fovea_library(NAME sources... LINK libs...): a static library of this project, warnings on, include root = repository root.
function(fovea_library name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${FOVEA_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
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
endfunction()
