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
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/docs/runtime.md"
                "${PROJECT_SOURCE_DIR}/docs/plan.md" "${PROJECT_SOURCE_DIR}/docs/plan.schema.json"
          DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
if(TARGET fovea)
  set_target_properties(fovea PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS fovea RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
