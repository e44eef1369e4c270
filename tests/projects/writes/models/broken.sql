select {{ exceptions.raise_compiler_error("this model cannot be compiled") if execute }} as id
