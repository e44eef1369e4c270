select kinds from {{ ref('thin') }}
