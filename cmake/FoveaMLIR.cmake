# Finds MLIR 22 and defines fovea_mlir_library.
# No version argument below: MLIR's version file accepts only the same major.minor.
find_package(MLIR REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
if(NOT LLVM_VERSION_MAJOR EQUAL 22)
  message(FATAL_ERROR "Fovea needs MLIR 22; found ${LLVM_PACKAGE_VERSION} in ${MLIR_DIR}")
endif()
list(APPEND CMAKE_MODULE_PATH "${MLIR_CMAKE_DIR}" "${LLVM_CMAKE_DIR}")
set(MLIR_BINARY_DIR "${CMAKE_BINARY_DIR}")
set(LLVM_RUNTIME_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/bin")
set(LLVM_LIBRARY_OUTPUT_INTDIR "${CMAKE_BINARY_DIR}/lib")
include(TableGen)
include(AddLLVM)
include(AddMLIR)
list(GET MLIR_INCLUDE_DIRS 0 MLIR_MAIN_INCLUDE)
separate_arguments(FOVEA_LLVM_DEFINITIONS NATIVE_COMMAND "${LLVM_DEFINITIONS}")
# LLVM's headers change layout by NDEBUG and the distribution's libraries are built with it.
list(APPEND FOVEA_LLVM_DEFINITIONS -DNDEBUG)

# What every MLIR library links: the distribution's shared libraries while developing, since they link in a second; the
# archives for a program to ship, since it then starts in under 10 ms and needs no LLVM on the machine.
# The archives are named by file: their CMake targets would pull in libLLVM.so beside them, and two copies of LLVM in one
# process crash in the first codegen pass.
add_library(FoveaLinkMLIR INTERFACE)
if(FOVEA_STATIC)
  file(GLOB FOVEA_LLVM_ARCHIVES "${LLVM_LIBRARY_DIR}/libMLIR*.a" "${LLVM_LIBRARY_DIR}/libLLVM*.a")
  # Leaves out the other targets' back-ends and what duplicates main or other libraries' symbols.
  list(FILTER FOVEA_LLVM_ARCHIVES EXCLUDE REGEX
       "libLLVM(AArch64|AMDGPU|ARM|AVR|BPF|Hexagon|Lanai|LoongArch|M68k|MSP430|Mips|PowerPC|RISCV|SPIRV|Sparc|SystemZ|VE|WebAssembly|X86|XCore|Xtensa|BOLT|Exegesis|Fuzz|LTO|DTLTO)[A-Za-z0-9]*\\.a$")
  find_library(FOVEA_ZLIB_STATIC libz.a REQUIRED)
  find_library(FOVEA_ZSTD_STATIC libzstd.a REQUIRED)
  list(JOIN FOVEA_LLVM_ARCHIVES "," archives)
  target_link_libraries(FoveaLinkMLIR INTERFACE "$<LINK_GROUP:RESCAN,${archives}>" "${FOVEA_ZLIB_STATIC}"
                        "${FOVEA_ZSTD_STATIC}" ${CMAKE_DL_LIBS})
  target_link_options(FoveaLinkMLIR INTERFACE -Wl,--gc-sections -s)
else()
  target_link_libraries(FoveaLinkMLIR INTERFACE MLIR LLVM)
endif()

# fovea_tablegen(TD -gen-x out ...): runs mlir-tblgen in the current folder, collects a target.
function(fovea_tablegen target td)
  set(LLVM_TARGET_DEFINITIONS ${td})
  set(MLIR_TABLEGEN_EXTRA -I${PROJECT_SOURCE_DIR})
  while(ARGN)
    list(POP_FRONT ARGN out)
    list(POP_FRONT ARGN flags)
    separate_arguments(flags NATIVE_COMMAND "${flags}")
    mlir_tablegen(${out} ${flags} -I${PROJECT_SOURCE_DIR} -I${MLIR_MAIN_INCLUDE})
  endwhile()
  add_public_tablegen_target(${target})
endfunction()

# One precompiled header serves every library: an MLIR header costs 20 s each time it is read.
add_library(FoveaPch OBJECT "${PROJECT_SOURCE_DIR}/cmake/pch.cpp")
target_include_directories(FoveaPch SYSTEM PUBLIC ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
target_compile_options(FoveaPch PUBLIC ${FOVEA_LLVM_DEFINITIONS})
target_precompile_headers(FoveaPch PRIVATE "${PROJECT_SOURCE_DIR}/cmake/pch.h")
if(FOVEA_CCACHE)
  target_compile_options(FoveaPch PUBLIC -fpch-preprocess)
endif()

# fovea_mlir_library(NAME sources... LINK libs... DEPENDS tablegen-targets...)
function(fovea_mlir_library name)
  cmake_parse_arguments(ARG "" "" "LINK;DEPENDS" ${ARGN})
  fovea_library(${name} ${ARG_UNPARSED_ARGUMENTS} LINK ${ARG_LINK})
  fovea_use_mlir(${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

function(fovea_use_mlir name)
  target_include_directories(${name} SYSTEM PUBLIC ${MLIR_INCLUDE_DIRS} ${LLVM_INCLUDE_DIRS})
  target_compile_options(${name} PRIVATE ${FOVEA_LLVM_DEFINITIONS})
  if(FOVEA_CCACHE)
    target_compile_options(${name} PRIVATE -fpch-preprocess)
  endif()
  # The precompiled header is -fPIC; CMake compiles executables -fPIE, which it does not fit.
  get_target_property(type ${name} TYPE)
  if(type STREQUAL "EXECUTABLE")
    target_compile_options(${name} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${name} REUSE_FROM FoveaPch)
  target_link_libraries(${name} PUBLIC FoveaLinkMLIR)
endfunction()
