{% macro number() %}1{% endmacro %}
