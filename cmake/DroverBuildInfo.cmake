# build_info.h, for `drover --version` and run.json: regenerated at every build, touched only when it changes.
set(DROVER_BUILD_INFO_DIR ${CMAKE_BINARY_DIR}/generated)
string(TOLOWER "${CMAKE_BUILD_TYPE}" build_type)
set(options "${build_type}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
string(APPEND options ", mpi ${DROVER_WITH_MPI}, cuda ${DROVER_HAS_CUDA}")
string(APPEND options ", yaml-cpp ${yaml-cpp_VERSION}")  # which cannot be asked when it runs
if(DROVER_PLAIN)
  string(APPEND options ", plain")
endif()
if(DROVER_SANITIZE)
  string(APPEND options ", sanitize ${DROVER_SANITIZE}")
endif()
add_custom_target(drover_build_info
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${DROVER_BUILD_INFO_DIR}/build_info.h
          -DVERSION=${PROJECT_VERSION} "-DOPTIONS=${options}" -P ${CMAKE_SOURCE_DIR}/cmake/write_build_info.cmake
  BYPRODUCTS ${DROVER_BUILD_INFO_DIR}/build_info.h
  COMMENT "" VERBATIM)

get_target_property(type drover_launch TYPE)
if(type STREQUAL "STATIC_LIBRARY")
  add_dependencies(drover_launch drover_build_info)
  target_include_directories(drover_launch PRIVATE ${DROVER_BUILD_INFO_DIR})
endif()
