select {{ exceptions.raise_compiler_error('Not like this.') if execute }} as id
