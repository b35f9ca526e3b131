# Run by the target drover_build_info: cmake -DSOURCE= -DOUTPUT= -DVERSION= -DOPTIONS= -P this file.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  set(COMMIT "unknown")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[#pragma once

namespace drover {

inline constexpr char kBuildVersion[] = "@VERSION@";
inline constexpr char kBuildCommit[] = "@COMMIT@";
inline constexpr char kBuildOptions[] = "@OPTIONS@";

}  // namespace drover
]])
