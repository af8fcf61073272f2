# MXNet 1.9.1 below MXNET_ROOT (a variable of CMake or of the environment): the folder of its Python package, or what
# its own `make install` leaves. Defines MXNet::MXNet.
find_path(MXNet_INCLUDE_DIR mxnet/c_predict_api.h HINTS "${MXNET_ROOT}" ENV MXNET_ROOT PATH_SUFFIXES include)
find_library(MXNet_LIBRARY mxnet HINTS "${MXNET_ROOT}" ENV MXNET_ROOT PATH_SUFFIXES . lib)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MXNet
  REQUIRED_VARS MXNet_LIBRARY MXNet_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Give the folder of MXNet 1.9.1, which holds include/: -DMXNET_ROOT=...")
mark_as_advanced(MXNet_INCLUDE_DIR MXNet_LIBRARY)

if(MXNet_FOUND AND NOT TARGET MXNet::MXNet)
  add_library(MXNet::MXNet UNKNOWN IMPORTED)
  set_target_properties(MXNet::MXNet PROPERTIES
    IMPORTED_LOCATION "${MXNet_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${MXNet_INCLUDE_DIR}")
endif()
