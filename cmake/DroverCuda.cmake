# The CUDA backend, core/cuda, as drover_cuda. The language is only enabled when there is something to
# compile and a compiler for it, so machines without CUDA configure in the same way.
file(GLOB DROVER_CUDA_SOURCES CONFIGURE_DEPENDS core/cuda/*.cu core/cuda/*.cpp)
set(DROVER_HAS_CUDA OFF)
if(DROVER_WITH_CUDA AND DROVER_CUDA_SOURCES)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(DROVER_HAS_CUDA ON)
  endif()
endif()
if(NOT DROVER_HAS_CUDA)
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90a-real)
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_EXTENSIONS OFF)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know how to ask nvcc for C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
find_package(CUDAToolkit 12.4 REQUIRED)

function(drover_cuda_library name header library)
  find_path(DROVER_${name}_INCLUDE ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
  find_library(DROVER_${name}_LIBRARY ${library} HINTS ${CUDAToolkit_LIBRARY_DIR} REQUIRED)
  add_library(drover::${name} UNKNOWN IMPORTED)
  set_target_properties(drover::${name} PROPERTIES
    IMPORTED_LOCATION ${DROVER_${name}_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${DROVER_${name}_INCLUDE})
endfunction()
drover_cuda_library(cudnn cudnn.h cudnn)
drover_cuda_library(nccl nccl.h nccl)

add_library(drover_cuda STATIC ${DROVER_CUDA_SOURCES})
target_link_libraries(drover_cuda
  PUBLIC drover_core drover::options CUDA::cudart
  PRIVATE drover::warnings CUDA::cublasLt drover::cudnn)
target_compile_definitions(drover_cuda INTERFACE DROVER_WITH_CUDA=1)
target_link_libraries(drover_launch INTERFACE drover_cuda)
