# What `cmake --install` puts where: the runtime libraries with their headers and find_package(Fovea), the command-line
# tool where it was built, documentation and licence. Libraries that are built elsewhere join the set by
# fovea_install_library(TARGET NAME), as Fovea::NAME.
include(CMakePackageConfigHelpers)

set(FOVEA_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/Fovea")

function(fovea_install_library target name)
  # Libraries of the set find each other beside themselves, and LLVM's, if any, where they were linked.
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} INSTALL_RPATH "$ORIGIN" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${target} EXPORT FoveaTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
          ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endfunction()

if(TARGET fovea-runtime)
  fovea_install_library(fovea-runtime runtime)
  fovea_install_library(fovea-runtime-static runtime-static)
  fovea_install_library(fovea-emulator emulator)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/runtime/include/fovea" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
          FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
  if(TARGET fovea-compiler)
    fovea_install_library(fovea-compiler compiler)
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/frontend/api/include/fovea" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
            FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
  endif()
  install(EXPORT FoveaTargets NAMESPACE Fovea:: DESTINATION "${FOVEA_CMAKE_DIR}")
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/FoveaConfig.cmake.in"
                                "${PROJECT_BINARY_DIR}/FoveaConfig.cmake" INSTALL_DESTINATION "${FOVEA_CMAKE_DIR}")
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/FoveaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/FoveaConfig.cmake" "${PROJECT_BINARY_DIR}/FoveaConfigVersion.cmake"
          DESTINATION "${FOVEA_CMAKE_DIR}")
  # Stripping an installation leaves archives as they are.
  install(CODE "if(CMAKE_INSTALL_DO_STRIP)
  execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug
                  \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libfovea-runtime.a\")
endif()")
  # In the folders of the repository, so that their links lead somewhere.
  foreach(file README.md LICENSE THIRD-PARTY.md CONTRIBUTING.md)
    install(FILES "${PROJECT_SOURCE_DIR}/${file}" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
  endforeach()
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs" "${PROJECT_SOURCE_DIR}/examples" DESTINATION "${CMAKE_INSTALL_DOCDIR}"
          PATTERN "__pycache__" EXCLUDE)
endif()
if(TARGET fovea)
  set_target_properties(fovea PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS fovea RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

# Packages: `cpack -G TGZ` or `-G DEB` in the build folder; ./dev tarball for what ships.
if(PROJECT_IS_TOP_LEVEL)
  set(CPACK_GENERATOR TGZ)
  set(CPACK_PACKAGE_NAME fovea)
  set(CPACK_PACKAGE_VENDOR Fovea)
  set(CPACK_PACKAGE_CONTACT "The authors of Fovea <fovea@localhost>")
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Compiler for attention kernels, with its runtime library")
  string(TOLOWER "${CMAKE_SYSTEM_NAME}" system)
  set(CPACK_PACKAGE_FILE_NAME "fovea-${PROJECT_VERSION}-${system}-${CMAKE_SYSTEM_PROCESSOR}")
  set(CPACK_STRIP_FILES ON)
  set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${PROJECT_BINARY_DIR}/lib")
  set(CPACK_DEBIAN_PACKAGE_SECTION devel)
  include(CPack)
endif()
