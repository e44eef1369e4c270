select {{ function('twice') }}(id) as id from {{ ref('lone') }}
