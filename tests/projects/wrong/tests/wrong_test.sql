select nothing_there from {{ ref('tested') }}
