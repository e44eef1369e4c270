{{ config(contract={'enforced': true}) }}
select id, name from {{ ref('good') }}
