{#- Keep the newest version of each row that was loaded until the day of this run. -#}
{% macro latest_version(relation, key) -%}
    select *
    from {{ relation }}
    where loaded_day <= {{ var('day') }}
    qualify row_number() over (partition by {{ key }} order by loaded_day desc) = 1
{%- endmacro %}
